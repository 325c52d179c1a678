//! Small inputs that expand: no archive, registry, chart or catalog uses up the memory of the machine.
//!
//! Each is run with a bound on its address space, so that a test that fails does not take the machine with it.

#![expect(clippy::print_stderr, reason = "figures are for people")]

use std::io::Write as _;
use std::process::Command;

use airgap_bundle::image::Digest;
use serde_json::json;

use crate::support::cli::Ran;
use crate::support::gap::{Gap, Running};
use crate::support::images::{ImageSpec, Layer, image};
use crate::support::liar::{Liar, Lie, answer};

const MIB: u64 = 1 << 20;
/// The most that any of them may take. The program itself takes some 30 MiB.
const LIMIT: u64 = 256 * MIB;
/// Of address space, in KiB: stacks and arenas of threads count, too.
const ADDRESS_SPACE: u64 = 4 << 20;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Runs the program with this input on its stdin, and gives the most memory it had at once.
fn peak(gap: &Gap, arguments: &[&str], input: &[u8]) -> (u64, Ran) {
    let program = gap.cli.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {ADDRESS_SPACE}; exec \"$@\""), "sh"]);
    command.arg(program.get_program()).args(program.get_args());
    command.current_dir(program.get_current_dir().unwrap()).env_clear();
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(std::process::Stdio::piped());
    let mut run = Running::of(command);
    let mut stdin = run.child().stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let status = format!("/proc/{}/status", run.id());
    let mut peak = 0;
    while run.ended().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.starts_with("VmHWM:")) {
            peak = line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let ran = run.wait();
    feeding.join().unwrap();
    (peak, ran)
}

fn bounded(what: &str, gap: &Gap, arguments: &[&str], input: &[u8]) -> Ran {
    let (peak, ran) = peak(gap, arguments, input);
    eprintln!("{what}: {} MiB, exit {}", peak / MIB, ran.code);
    assert!((0..=7).contains(&ran.code), "{what} ended in an abort: {}", ran.shown());
    assert!(!ran.stderr.contains("panicked"), "{what}: {}", ran.shown());
    assert!(peak <= LIMIT, "{what}: {} MiB: {}", peak / MIB, ran.shown());
    ran
}

/// A layout as a tar: the index, and content by its digest.
fn layout(index: &str, blobs: &[&[u8]]) -> Vec<u8> {
    let mut members = vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index.as_bytes().to_vec()),
    ];
    members.extend(blobs.iter().map(|blob| (Digest::sha256(blob).layout_path(), blob.to_vec())));
    tar(&members)
}

fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

/// The same as a small file: `x.tar.zst` and `x.tar.gz`.
fn packed(gap: &Gap, tar: &[u8]) {
    let zst = zstd::encode_all(tar, 3).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gz.write_all(tar).unwrap();
    let gz = gz.finish().unwrap();
    std::fs::write(gap.path("x.tar.zst"), zst).unwrap();
    std::fs::write(gap.path("x.tar.gz"), gz).unwrap();
}

/// `length` bytes of this pattern over and over.
fn repeated(pattern: &str, length: usize) -> String {
    pattern.repeat(length / pattern.len())
}

#[test]
fn an_index_that_expands_takes_no_memory() {
    let gap = Gap::new();
    let digest = Digest::sha256(b"x");
    let entry = format!(r#"{{"mediaType":"{MANIFEST}","digest":"{digest}","size":1}},"#);
    let entries = repeated(&entry, 19 << 20);
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.trim_end_matches(','));
    for text in [index, format!(r#"{{"manifests":[],"x":[{}1]}}"#, repeated("[],", 19 << 20))] {
        packed(&gap, &layout(&text, &[b"x"]));
        let host = gap.destination.host();
        for file in ["x.tar.zst", "x.tar.gz"] {
            let size = std::fs::metadata(gap.path(file)).unwrap().len();
            let what = format!("an index in {file} of {size} bytes");
            let ran = bounded(&what, &gap, &["import", file, "-d", &host], b"");
            assert_ne!(ran.code, 0, "{}", ran.shown());
        }
        let ran =
            bounded("an index out of a pipe", &gap, &["import", "-", "-d", &host], &gap.read("x.tar.zst"));
        assert_ne!(ran.code, 0, "{}", ran.shown());
    }
}

#[test]
fn a_bundle_json_of_blanks_takes_no_memory() {
    let gap = Gap::new();
    let host = gap.destination.host();
    let mut header = tar::Header::new_ustar();
    header.set_size(1 << 30);
    header.set_mode(0o644);
    header.set_path("bundle.json").unwrap();
    header.set_cksum();
    // The frames of a head, each with its length.
    let begin = [
        tar(&[
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), b"{}".to_vec()),
        ])[..2048]
            .to_vec(),
        header.as_bytes().to_vec(),
    ]
    .concat();
    let blanks = vec![b' '; 1 << 20];
    let mut file = zstd::bulk::compress(&begin, 3).unwrap();
    let frame = zstd::bulk::compress(&blanks, 3).unwrap();
    for _ in 0..1024 {
        file.extend_from_slice(&frame);
    }
    std::fs::write(gap.path("x.tar.zst"), &file).unwrap();
    for (what, arguments, input) in [
        ("blanks out of a pipe", &["import", "-", "-d", &host][..], &file[..]),
        ("blanks in a file", &["import", "x.tar.zst", "-d", &host], b""),
        ("blanks, verified", &["verify", "x.tar.zst"], b""),
    ] {
        let ran = bounded(what, &gap, arguments, input);
        assert_ne!(ran.code, 0, "{}", ran.shown());
    }
    // In the container of another tool.
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gz.write_all(header.as_bytes()).unwrap();
    for _ in 0..1024 {
        gz.write_all(&blanks).unwrap();
    }
    let gz = gz.finish().unwrap();
    std::fs::write(gap.path("x.tar.gz"), &gz).unwrap();
    for (what, arguments, input) in [
        ("blanks in gzip", &["import", "x.tar.gz", "-d", &host][..], &b""[..]),
        ("blanks in gzip out of a pipe", &["import", "-", "-d", &host], &gz[..]),
    ] {
        let ran = bounded(what, &gap, arguments, input);
        assert_ne!(ran.code, 0, "{}", ran.shown());
    }
}

#[test]
fn a_bundle_json_in_a_tar_is_no_larger_than_its_members_need() {
    let gap = Gap::new();
    let host = gap.destination.host();
    // A file with a hole: it takes no disk, and would take all the memory.
    let mut header = tar::Header::new_gnu();
    header.set_size(900 << 20);
    header.set_path("bundle.json").unwrap();
    header.set_cksum();
    std::fs::write(gap.path("hole.tar"), header.as_bytes()).unwrap();
    let file = std::fs::File::options().append(true).open(gap.path("hole.tar")).unwrap();
    file.set_len(512 + (900 << 20) + 1024).unwrap();
    // Rows of nothing, which take many times their length.
    let rows = repeated("{},", 60 << 20);
    let own = format!(r#"{{"blobs":[],"catalog":{{"entries":[{rows}{{}}]}}}}"#);
    std::fs::write(gap.path("crumbs.tar"), tar(&[("bundle.json".to_owned(), own.into_bytes())])).unwrap();
    for (file, says) in [("hole.tar", "bundle.json is larger than"), ("crumbs.tar", "more small parts than")]
    {
        for arguments in [&["import", file, "-d", &host][..], &["verify", file], &["inspect", file]] {
            let ran = bounded(&format!("{file} {arguments:?}"), &gap, arguments, b"");
            assert!(ran.code == 3 && ran.stderr.contains(says), "{}", ran.shown());
        }
    }
    let input = gap.read("crumbs.tar");
    let ran = bounded("crumbs out of a pipe", &gap, &["import", "-", "-d", &host], &input);
    assert!(ran.stderr.contains("neither") || ran.code == 3, "{}", ran.shown());
}

#[test]
fn manifests_and_configs_take_little_more_than_their_size() {
    let gap = Gap::new();
    let host = gap.destination.host();
    let config = b"{}";
    let digest = Digest::sha256(config);
    let descriptor = format!(r#"{{"digest":"{digest}","size":2}}"#);
    let of_config = format!(
        r#""config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":2}}"#
    );
    for (what, filling) in [
        ("layers", format!(r#""layers":[{}{descriptor}]"#, repeated(&format!("{descriptor},"), 4_000_000))),
        (
            "annotations",
            format!(r#""layers":[],"annotations":{{{}"b":"1"}}"#, repeated(r#""a":"","#, 4_000_000)),
        ),
    ] {
        let manifests: Vec<Vec<u8>> = (0..12)
            .map(|n| format!(r#"{{"schemaVersion":2,"n":{n},{of_config},{filling}}}"#).into_bytes())
            .collect();
        let entries: Vec<_> = manifests
            .iter()
            .enumerate()
            .map(|(n, manifest)| {
                json!({
                    "mediaType": MANIFEST, "digest": Digest::sha256(manifest), "size": manifest.len(),
                    "annotations": { "org.opencontainers.image.ref.name": format!("r.example.com/a/app:{n}") },
                })
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string();
        let mut blobs: Vec<&[u8]> = vec![config];
        blobs.extend(manifests.iter().map(Vec::as_slice));
        packed(&gap, &layout(&index, &blobs));
        let what = format!("twelve manifests of 4 MiB of {what}");
        bounded(&what, &gap, &["import", "x.tar.zst", "-d", &host, "--dry-run"], b"");
        // A tar that is as large as it says.
        std::fs::write(gap.path("x.tar"), layout(&index, &blobs)).unwrap();
        bounded(&format!("{what}, reviewed"), &gap, &["review", "x.tar"], b"");
    }
}

/// Manifests that differ in one annotation and share a config of 4 MiB with a million words, and all blobs.
fn sharing_a_config(number: usize) -> (Vec<serde_json::Value>, Vec<Vec<u8>>) {
    let env = repeated(r#""a","#, 4_000_000);
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{}},"config":{{"User":"7","Env":[{env}"b=1"]}}}}"#
    );
    let (config, layer) = (config.into_bytes(), b"layer".to_vec());
    let (of_config, of_layer) = (Digest::sha256(&config), Digest::sha256(&layer));
    let size = config.len();
    let (mut entries, mut blobs) = (Vec::new(), vec![config, layer]);
    for n in 0..number {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "annotations": { "n": n.to_string() },
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": of_config, "size": size },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": of_layer, "size": 5 }],
        });
        let manifest = manifest.to_string().into_bytes();
        entries.push(json!({
            "mediaType": MANIFEST, "digest": Digest::sha256(&manifest), "size": manifest.len(),
        }));
        blobs.push(manifest);
    }
    (entries, blobs)
}

fn named(mut entry: serde_json::Value, name: &str) -> serde_json::Value {
    entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
    entry
}

fn layout_of(entries: &[serde_json::Value], blobs: &[Vec<u8>]) -> Vec<u8> {
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string();
    layout(&index, &blobs.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

#[test]
fn images_that_share_a_config_take_the_memory_of_one() {
    let gap = Gap::new();
    let (entries, blobs) = sharing_a_config(24);
    let entries = entries.into_iter().enumerate();
    let entries: Vec<_> =
        entries.map(|(n, entry)| named(entry, &format!("r.example.com/a/app:{n}"))).collect();
    std::fs::write(gap.path("x.tar"), layout_of(&entries, &blobs)).unwrap();
    for output in ["x.html", "x.json", "x.csv"] {
        let what = format!("24 images with one config as {output}");
        let ran = bounded(&what, &gap, &["review", "x.tar", "-o", output], b"");
        assert_eq!(ran.code, 0, "{}", ran.shown());
        let size = gap.read(output).len() as u64;
        assert!(size < 8 * MIB, "{output} has {size} bytes");
    }
    let page = String::from_utf8(gap.read("x.html")).unwrap();
    assert!(page.contains("and 999801 more"), "the page says what it leaves out");
    let ran = bounded("a diff of one config", &gap, &["diff", "x.tar", "x.tar"], b"");
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

#[test]
fn platforms_that_share_a_config_take_the_memory_of_one() {
    let gap = Gap::new();
    let (mut entries, mut blobs) = sharing_a_config(200);
    for (n, entry) in entries.iter_mut().enumerate() {
        entry["platform"] = json!({ "os": "linux", "architecture": "amd64", "variant": format!("v{n}") });
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }).to_string();
    let entry =
        json!({ "mediaType": INDEX, "digest": Digest::sha256(index.as_bytes()), "size": index.len() });
    blobs.push(index.into_bytes());
    let entries = [named(entry, "r.example.com/a/app:1")];
    std::fs::write(gap.path("x.tar"), layout_of(&entries, &blobs)).unwrap();
    std::fs::write(gap.path("policy.yaml"), "noRoot: true\n").unwrap();
    let ran = bounded("200 platforms, verified", &gap, &["verify", "x.tar", "--policy", "policy.yaml"], b"");
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let ran = bounded("200 platforms, reviewed", &gap, &["review", "x.tar", "-o", "x.html"], b"");
    assert_eq!(ran.code, 0, "{}", ran.shown());
    let size = gap.read("x.html").len() as u64;
    assert!(size < MIB, "the page has {size} bytes");
}

#[test]
fn configs_are_looked_at_one_after_another() {
    let mut gap = Gap::new();
    for seed in 0..4 {
        let env = repeated(r#""a=","#, 3_900_000);
        let text = format!(r#"{{"os":"linux","n":{seed},"rootfs":{{}},"config":{{"Env":[{env}"b="]}}}}"#);
        let one = ImageSpec::new(seed).layer(Layer::gzip(seed, 900)).build();
        let one = one.with_config(&text, "application/vnd.oci.image.config.v1+json");
        gap.image(&format!("team/app-{seed}"), "1", &one);
    }
    // The head of such a bundle expands too far to be opened; what is exported is what can be opened.
    let ran =
        bounded("an export of dense configs", &gap, &["export", "images.txt", "-o", "out.tar.zst"], b"");
    if ran.code == 0 {
        for verb in ["verify", "review"] {
            bounded(&format!("dense configs, {verb}"), &gap, &[verb, "out.tar.zst"], b"");
        }
    }
}

#[test]
fn a_list_of_referrers_without_end_comes_to_one() {
    let (app, mut gap) = (image(1), Gap::new());
    gap.source.put_image("team/app", "1", &app);
    let entry = format!(r#"{{"mediaType":"{MANIFEST}","digest":"{}","size":1}},"#, Digest::sha256(b"x"));
    let page = format!(
        r#"{{"mediaType":"{INDEX}","manifests":[{}]}}"#,
        repeated(&entry, 3 << 20).trim_end_matches(',')
    );
    let many = answer(
        "200 OK",
        &format!("content-type: {INDEX}\r\nlink: </v2/team/app/referrers/x?n=1>; rel=\"next\"\r\n"),
        page.as_bytes(),
    );
    // Pages with little in them, too.
    let junk = format!(r#"{{"mediaType":"{INDEX}","manifests":[],"x":[{}1]}}"#, repeated("[],", 3 << 20));
    let junk = answer(
        "200 OK",
        &format!("content-type: {INDEX}\r\nlink: </v2/team/app/referrers/x?n=1>; rel=\"next\"\r\n"),
        junk.as_bytes(),
    );
    for (what, page) in [("referrers", many), ("pages of referrers", junk)] {
        let liar = Liar::before(&gap.source, move |asked| {
            if asked.is("GET", "/referrers/") { Lie::Raw(page.clone()) } else { Lie::No }
        });
        gap.line(&format!("{}/team/app:1", liar.host()));
        let ran = bounded(
            what,
            &gap,
            &["export", "images.txt", "-o", "out.tar.zst", "--only", &format!("{}/*", liar.host())],
            b"",
        );
        assert_ne!(ran.code, 0, "{}", ran.shown());
        assert!(ran.stderr.contains("too long"), "{}", ran.shown());
    }
}

#[test]
fn a_chart_of_many_charts_takes_no_memory() {
    let gap = Gap::new();
    let yaml = format!("apiVersion: v2\nname: shop\nversion: 1.0.0\nx: [{}1]\n", repeated("[],", 5 << 20));
    let mut members =
        vec![("shop/Chart.yaml".to_owned(), b"apiVersion: v2\nname: shop\nversion: 1.0.0\n".to_vec())];
    members.extend((0..125).map(|n| (format!("shop/charts/c{n}/Chart.yaml"), yaml.clone().into_bytes())));
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gz.write_all(&tar(&members)).unwrap();
    std::fs::write(gap.path("shop-1.0.0.tgz"), gz.finish().unwrap()).unwrap();
    std::fs::write(gap.path("one.tgz"), {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gz.write_all(&tar(&[("shop/Chart.yaml".to_owned(), yaml.into_bytes())])).unwrap();
        gz.finish().unwrap()
    })
    .unwrap();
    for file in ["shop-1.0.0.tgz", "one.tgz"] {
        for arguments in
            [&["catalog", "discover", "--chart", file][..], &["export", "--add", file, "-o", "out.tar.zst"]]
        {
            let ran = bounded(&format!("{file} {arguments:?}"), &gap, arguments, b"");
            assert!(file != "one.tgz" || ran.code != 0, "{}", ran.shown());
        }
    }
}

#[test]
fn a_catalog_that_expands_takes_no_memory() {
    let gap = Gap::new();
    let long = "x".repeat(120_000);
    let rows = repeated("- r.io/$V\n", 120_000);
    let values: Vec<String> = (0..6000).map(|n| format!("  a{n}: '$V$V'\n")).collect();
    let values = values.concat();
    for text in [
        format!("name: x\nvariables:\n  V: {{default: '{long}'}}\nimages:\n{rows}"),
        format!("name: x\nvariables:\n  V: {{default: '{long}'}}\nvalues:\n{values}images:\n- r.io/a:1\n"),
        format!(
            "name: x\nvariables:\n  V: {{default: '{long}'}}\nimages:\n- image: r.io/a:1\n  source: '{}'\n",
            "$V".repeat(60_000)
        ),
        // One anchor, a thousand times over.
        format!(
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [{0}]\nc: &c [{1}]\nd: &d [{2}]\ne: &e [{3}]\nimages: *e\n",
            ["*a"; 9].join(","),
            ["*b"; 9].join(","),
            ["*c"; 9].join(","),
            ["*d"; 9].join(",")
        ),
    ] {
        std::fs::write(gap.path("c.yaml"), text).unwrap();
        for arguments in [
            &["export", "c.yaml", "-o", "out.tar.zst", "--dry-run", "--retries", "1"][..],
            &["catalog", "lint", "c.yaml"],
            &["catalog", "show", "c.yaml"],
        ] {
            bounded(&format!("{arguments:?}"), &gap, arguments, b"");
        }
    }
}
