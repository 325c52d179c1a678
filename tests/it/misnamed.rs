//! Paths that are not the bundle that the user means: the error says what they are instead.

use crate::support::gap::Gap;
use crate::support::images::image;

fn refused(gap: &Gap, arguments: &[&str], text: &str) {
    let ran = gap.cli.run(arguments);
    assert_eq!(ran.code, 3, "{arguments:?}: {}", ran.shown());
    assert!(ran.stderr.contains(text), "{arguments:?}: {}", ran.shown());
}

#[test]
fn an_export_that_has_not_finished_is_called_that() {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1)).export(&["-o", "out.tar.zst"]);
    let whole = gap.read("out.tar.zst");
    std::fs::remove_file(gap.path("out.tar.zst")).unwrap();
    std::fs::write(gap.path("out.tar.zst.partial"), &whole[..whole.len() / 2]).unwrap();
    let host = gap.destination.host();
    let says = "out.tar.zst is not there yet: out.tar.zst.partial is an export that has not finished";
    for name in ["out.tar.zst", "out.tar.zst.partial"] {
        refused(&gap, &["verify", name], says);
        refused(&gap, &["inspect", name], says);
        refused(&gap, &["import", name, "-d", &host], says);
    }
    // What is whole is read, whatever its name.
    std::fs::write(gap.path("out.tar.zst.partial"), &whole).unwrap();
    assert_eq!(gap.cli.run(&["verify", "out.tar.zst.partial"]).code, 0);
    // Without it, the file is missing and nothing more is known.
    std::fs::remove_file(gap.path("out.tar.zst.partial")).unwrap();
    let ran = gap.cli.run(&["verify", "out.tar.zst"]);
    assert!(ran.code == 1 && ran.stderr.contains("No such file"), "{}", ran.shown());
}

#[test]
fn the_folder_of_a_registry_is_called_that() {
    let gap = Gap::new();
    std::fs::create_dir_all(gap.path("served/repositories/team/app")).unwrap();
    std::fs::create_dir_all(gap.path("served/blobs/sha256")).unwrap();
    std::fs::write(gap.path("served/bundle-registry"), "airgap-bundle registry 1\n").unwrap();
    std::fs::write(gap.path("served/oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    refused(&gap, &["verify", "served"], "served is the folder of a registry of `bundle serve --dir`");
}

/// One line for each of twenty images, but the reason once.
#[test]
fn a_reason_that_images_share_is_given_once() {
    let gap = Gap::new();
    // A port that was free a moment ago: nothing listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let list: Vec<String> = (0..20).map(|n| format!("{free}/team/app-{n}:1\n")).collect();
    std::fs::write(gap.path("list.txt"), list.concat()).unwrap();
    let ran = gap.cli.run(&["export", "list.txt", "--retries", "1", "-o", "out.tar.zst"]);
    let reason = format!("registry {free}: cannot connect");
    assert_eq!(ran.stderr.matches(&reason).count(), 1, "{}", ran.shown());
    assert_eq!(ran.stderr.matches("/team/app-").count(), 20, "{}", ran.shown());
}
