//! Bundles that were changed by someone who corrected every checksum.

use super::*;
use crate::support::rebuilt::Member;

fn swapped(text: &[u8], names: [&str; 2]) -> Vec<u8> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    let text = text.replace(names[0], "\u{1}").replace(names[1], names[0]).replace('\u{1}', names[1]);
    text.into_bytes()
}

fn member<'a>(members: &'a mut [Member], path: &str) -> &'a mut Vec<u8> {
    &mut members.iter_mut().find(|(own, _)| own == path).unwrap().1
}

#[test]
fn two_names_swapped_in_the_index_do_not_follow_from_the_manifest() {
    let (gap, _) = site();
    gap.export(&["-o", "out.tar.zst", "--sign-key", "site.key"]);
    let bytes = gap.read("out.tar.zst");
    let same = rebuilt(&bytes, |_| {});
    std::fs::write(gap.path("same.tar.zst"), &same).unwrap();
    let ran = gap.cli.run(&["verify", "same.tar.zst"]);
    assert_eq!(ran.code, 0, "the rebuilding itself changes nothing: {}", ran.shown());
    let forged = rebuilt(&bytes, |members| {
        let index = member(members, "index.json");
        *index = swapped(index, ["team/one:1", "team/two:1"]);
    });
    assert_ne!(forged, same);
    std::fs::write(gap.path("out.tar.zst"), &forged).unwrap();
    let says = "not the one that bundle.json implies";
    for key in [&[][..], &["--verify-key", "site.pub"]] {
        let ran = gap.cli.run(&[&["verify", "out.tar.zst"], key].concat());
        assert!(ran.code == 3 && ran.stderr.contains(says), "{}", ran.shown());
        for way in [(vec!["out.tar.zst"], Vec::new()), (vec!["-"], forged.clone())] {
            assert_untouched(&gap, &import(&gap, &way, key), says);
        }
        // An unpacked bundle is not trusted either.
        let again = (vec!["-"], tar(&members(&forged)));
        assert_untouched(&gap, &import(&gap, &again, key), says);
    }
}

#[test]
fn two_names_swapped_everywhere_break_the_signature() {
    let (mut gap, images) = site();
    gap.export(&["-o", "out.tar.zst", "--sign-key", "site.key"]);
    let mut signed = members(&gap.read("out.tar.zst"));
    let signature = member(&mut signed, "bundle.json.sig").clone();
    // The forger has the same images under each other's names, signs himself, and puts the old signature in place.
    gap.image("team/one", "1", &images[1]).image("team/two", "1", &images[0]);
    gap.export(&["-o", "forged.tar.zst", "--sign-key", "other.key"]);
    let forged = rebuilt(&gap.read("forged.tar.zst"), |members| {
        *member(members, "bundle.json.sig") = signature;
    });
    std::fs::write(gap.path("out.tar.zst"), &forged).unwrap();
    assert_eq!(
        gap.cli.run(&["verify", "out.tar.zst"]).code,
        0,
        "without its signature nothing is wrong with it"
    );
    let ran = gap.cli.run(&["verify", "out.tar.zst", "--verify-key", "site.pub"]);
    assert_eq!(ran.code, 3, "{}", ran.shown());
    // What lies beside it says that it is by the site's key, and is of the bundle that was.
    let says = "out.tar.zst.sigstore.json is not valid";
    assert!(ran.stderr.contains(says), "{}", ran.shown());
    std::fs::remove_file(gap.path("out.tar.zst.sigstore.json")).unwrap();
    for way in
        [(vec!["out.tar.zst"], Vec::new()), (vec!["-"], forged.clone()), (vec!["-"], tar(&members(&forged)))]
    {
        let refused = import(&gap, &way, &["--verify-key", "site.pub"]);
        assert_untouched(&gap, &refused, "by another key, or of another bundle");
    }
}

#[test]
fn a_second_manifest_or_signature_behind_the_first_is_not_believed() {
    let (gap, _) = site();
    gap.export(&["-o", "out.tar.zst", "--sign-key", "site.key"]);
    gap.export(&["-o", "other.tar.zst", "--only", "*/one:1", "--sign-key", "other.key"]);
    let other = members(&gap.read("other.tar.zst"));
    for path in ["bundle.json", "bundle.json.sig"] {
        let extra = other.iter().find(|(own, _)| own == path).unwrap().clone();
        let forged = rebuilt(&gap.read("out.tar.zst"), |members| {
            let at = members.iter().position(|(own, _)| own == "SHA256SUMS").unwrap();
            members.insert(at, extra);
        });
        let refused = import(&gap, &(vec!["-"], forged), &["--verify-key", "site.pub"]);
        assert_untouched(&gap, &refused, "is not where it belongs");
    }
}
