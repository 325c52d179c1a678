use super::*;

const BUNDLE: &[u8] = b"{\"the\":\"bundle\"}\n";

fn named(name: &str, key: &PrivateKey) -> NamedKey {
    NamedKey { name: name.to_owned(), key: key.public() }
}

fn found(place: &str, content: impl AsRef<[u8]>) -> Evidence {
    Evidence::read(place.to_owned(), content.as_ref()).unwrap()
}

fn trust(keys: &[&NamedKey], beside: &[Evidence]) -> Trust {
    Trust {
        keys: keys.iter().map(|key| (*key).clone()).collect(),
        beside: beside.to_vec(),
        ..Trust::default()
    }
}

struct Sides {
    ours: PrivateKey,
    theirs: PrivateKey,
    our: NamedKey,
    their: NamedKey,
}

fn sides() -> Sides {
    let (ours, theirs) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let (our, their) = (named("our.pub", &ours), named("their.pub", &theirs));
    Sides { ours, theirs, our, their }
}

#[test]
fn without_keys_nothing_is_demanded_and_nothing_believed() {
    let vouched = Trust::default().check(BUNDLE, Some(b"no signature at all")).unwrap();
    assert_eq!(vouched, Vouched::default());
    assert_eq!(Trust::default().check_foreign(), Ok(()));
}

#[test]
fn any_of_the_demanded_keys_suffices_in_any_place_and_form() {
    let Sides { ours, our, their, .. } = sides();
    let plain = ours.sign(BUNDLE).to_file();
    let bundle = SigstoreBundle::sign(BUNDLE, &ours).to_file();
    for keys in [vec![&our], vec![&their, &our]] {
        for (embedded, beside) in [
            (Some(plain.as_bytes()), vec![]),
            (None, vec![found("x.sig", &plain)]),
            (None, vec![found("x.sigstore.json", &bundle)]),
        ] {
            let vouched = trust(&keys, &beside).check(BUNDLE, embedded).unwrap();
            assert_eq!(vouched.signers.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&our]);
            assert!(vouched.notes.is_empty());
        }
    }
    let both = [found("x.sig", &plain), found("x.sigstore.json", &bundle)];
    let vouched = trust(&[&our], &both).check(BUNDLE, None).unwrap();
    assert_eq!(vouched.signers, [(our, vec!["x.sig".to_owned(), "x.sigstore.json".to_owned()])]);
}

#[test]
fn none_or_one_of_another_bundle_or_by_another_key_lets_nothing_in() {
    let Sides { ours, theirs, our, their } = sides();
    let refused = |beside: &[Evidence]| trust(&[&our], beside).check(BUNDLE, None).unwrap_err();
    assert_eq!(refused(&[]), Untrusted::Unsigned { keys: our.to_string() });
    let other = b"{\"the\":\"other\"}\n";
    for (content, says) in [
        (ours.sign(other).to_file(), "x is by another key, or of another bundle"),
        (theirs.sign(BUNDLE).to_file(), "x is by another key, or of another bundle"),
        (SigstoreBundle::sign(BUNDLE, &theirs).to_file(), "x is by another key"),
        (SigstoreBundle::sign(other, &theirs).to_file(), "x does not count: it is for another bundle"),
        (
            "-----BEGIN PGP SIGNATURE-----\n".to_owned(),
            "x is an OpenPGP signature, which is not checked here",
        ),
    ] {
        let expected = Untrusted::NoneValid { keys: our.to_string(), found: vec![says.to_owned()] };
        assert_eq!(refused(&[found("x", content)]), expected);
    }
    assert!(matches!(trust(&[&their], &[]).check_foreign(), Err(Untrusted::Foreign { .. })));
}

#[test]
fn what_is_by_others_is_no_obstacle_and_is_told() {
    let Sides { ours, theirs, our, .. } = sides();
    let beside = [
        found("x.sig", theirs.sign(BUNDLE).to_file()),
        found("x.asc", "-----BEGIN PGP SIGNATURE-----\n"),
        found("x.sigstore.json", SigstoreBundle::sign(b"", &theirs).to_file()),
    ];
    let embedded = ours.sign(BUNDLE).to_file();
    let vouched = trust(&[&our], &beside).check(BUNDLE, Some(embedded.as_bytes())).unwrap();
    assert_eq!((vouched.signers.len(), vouched.notes.len()), (1, 3));
}

#[test]
fn what_says_it_is_by_a_demanded_key_and_is_not_spoils_everything() {
    let Sides { ours, theirs, our, .. } = sides();
    let claim = |text: String| {
        // The hint of one key over the signature of another.
        let own: serde_json::Value =
            serde_json::from_str(&SigstoreBundle::sign(BUNDLE, &ours).to_file()).unwrap();
        let mut forged: serde_json::Value = serde_json::from_str(&text).unwrap();
        forged["verificationMaterial"] = own["verificationMaterial"].clone();
        forged.to_string()
    };
    let embedded = ours.sign(BUNDLE).to_file();
    for (forged, expected) in [
        (claim(SigstoreBundle::sign(BUNDLE, &theirs).to_file()), "its signature is not valid"),
        (SigstoreBundle::sign(b"", &ours).to_file(), "it is for another bundle"),
    ] {
        let error =
            trust(&[&our], &[found("x", forged)]).check(BUNDLE, Some(embedded.as_bytes())).unwrap_err();
        assert!(matches!(error, Untrusted::Bad { why, .. } if why == expected), "{error}");
    }
}

#[test]
fn what_cannot_be_read_is_no_signature_and_stops_there() {
    let Sides { ours, our, .. } = sides();
    let whole = SigstoreBundle::sign(BUNDLE, &ours).to_file();
    for text in
        ["", "nonsense", "{}", "{", r#"{"mediaType":1}"#, &whole[..whole.len() / 2], &"[".repeat(10_000)]
    {
        let error = Evidence::read("x".to_owned(), text.as_bytes()).unwrap_err();
        assert!(matches!(error, Untrusted::Unreadable { .. }), "{text}");
    }
    let error = trust(&[&our], &[]).check(BUNDLE, Some(b"nonsense")).unwrap_err();
    assert!(matches!(error, Untrusted::Unreadable { .. }), "{error}");
}

#[test]
fn what_cosign_3_adds_to_its_bundles_is_passed_over() {
    let Sides { ours, our, .. } = sides();
    let mut bundle: serde_json::Value =
        serde_json::from_str(&SigstoreBundle::sign(BUNDLE, &ours).to_file()).unwrap();
    bundle["verificationMaterial"]["tlogEntries"] = serde_json::json!([{ "logIndex": "1" }]);
    bundle["verificationMaterial"]["timestampVerificationData"] = serde_json::json!({});
    let beside = [found("x", bundle.to_string())];
    assert_eq!(trust(&[&our], &beside).check(BUNDLE, None).unwrap().signers.len(), 1);
}
