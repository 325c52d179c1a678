use super::*;
use crate::image::Digest;

#[test]
fn one_key_is_the_same_in_every_form_that_tools_write() {
    let expected = public("public");
    for form in ["sec1", "pkcs8", "pkcs8-encrypted", "pkcs8-scrypt", "cosign"] {
        assert_eq!(private(form).public(), expected, "{form}");
    }
    assert_eq!(public("public-compressed"), expected);
    assert_eq!(expected.to_pem(), pem("public"));
}

#[test]
fn keys_that_are_none_say_what_they_are() {
    let bag = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (text, expected) in [
        (String::new(), KeyError::NotPem),
        (pem("public"), KeyError::Public),
        (bag.to_owned(), KeyError::Kind("CERTIFICATE".to_owned())),
        (pem("p384"), KeyError::Algorithm),
        (pem("ed25519"), KeyError::Algorithm),
        (pem("sec1-encrypted"), KeyError::LegacyEncryption),
        (pem("pkcs8").replace("MIG", "AAA"), KeyError::Malformed("PRIVATE KEY".to_owned())),
    ] {
        assert_eq!(KeyFile::parse(&text).unwrap_err(), expected, "{text}");
    }
    for (text, expected) in [
        (String::new(), KeyError::NotPem),
        (pem("sec1"), KeyError::Private),
        (pem("cosign"), KeyError::Private),
        (bag.to_owned(), KeyError::Kind("CERTIFICATE".to_owned())),
        (pem("p384-public"), KeyError::Algorithm),
        (pem("public") + &pem("pkcs8"), KeyError::Private),
    ] {
        assert_eq!(PublicKey::parse_all(&text).unwrap_err(), expected, "{text}");
    }
    assert_eq!(PublicKey::parse_all(&(pem("public") + &pem("public"))).unwrap().len(), 2);
}

fn locked(text: &str) -> LockedKey {
    match KeyFile::parse(text).unwrap() {
        KeyFile::Locked(locked) => locked,
        KeyFile::Open(_) => panic!("it takes no pass phrase"),
    }
}

#[test]
fn a_wrong_pass_phrase_opens_nothing() {
    for form in ["pkcs8-encrypted", "pkcs8-scrypt", "cosign"] {
        for wrong in ["", "geheim ", "Geheim"] {
            let error = locked(&pem(form)).unlock(&Secret::new(wrong)).unwrap_err();
            assert_eq!(error, KeyError::WrongPassphrase, "{form} {wrong:?}");
        }
    }
    assert_eq!(KeyFile::parse(&pem("pkcs8-pbes1")).unwrap_err(), KeyError::Encryption);
}

#[test]
fn no_file_says_how_much_work_its_pass_phrase_is() {
    use base64::Engine as _;
    let locked_by = |params: &str| {
        let json = format!(
            r#"{{"kdf":{{"name":"scrypt","params":{params},"salt":"AAAA"}},"cipher":{{"name":"nacl/secretbox","nonce":"{}"}},"ciphertext":"AAAA"}}"#,
            "A".repeat(32)
        );
        let inner = base64::engine::general_purpose::STANDARD.encode(json);
        let lines: Vec<_> =
            inner.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let label = "ENCRYPTED SIGSTORE PRIVATE KEY";
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    };
    for params in [
        r#"{"N":4611686018427387904,"r":8,"p":1}"#,
        r#"{"N":1048576,"r":4294967295,"p":1}"#,
        r#"{"N":1024,"r":8,"p":4294967295}"#,
    ] {
        let error = locked(&locked_by(params)).unlock(&Secret::new("")).unwrap_err();
        assert_eq!(error, KeyError::Costly, "{params}");
    }
    for params in [r#"{"N":0,"r":8,"p":1}"#, r#"{"N":1000,"r":8,"p":1}"#] {
        assert_eq!(KeyFile::parse(&locked_by(params)).unwrap_err(), KeyError::Encryption, "{params}");
    }
}

#[test]
fn a_key_survives_its_file_and_shows_itself_to_nobody() {
    let key = PrivateKey::generate().unwrap();
    let phrase = Secret::new("größe 9");
    let (open, closed) = (key.to_pem(None).unwrap(), key.to_pem(Some(&phrase)).unwrap());
    let KeyFile::Open(again) = KeyFile::parse(&open).unwrap() else { panic!() };
    assert_eq!(again.public(), key.public());
    assert_eq!(locked(&closed).unlock(&phrase).unwrap().public(), key.public());
    assert!(closed.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    let shown = format!("{key:?} {:?} {:?} {phrase:?}", KeyFile::parse(&open), locked(&closed));
    let inner: Vec<&str> = open.lines().chain(closed.lines()).filter(|line| !line.starts_with('-')).collect();
    assert!(inner.iter().all(|line| !shown.contains(line)) && !shown.contains("größe"), "{shown}");
    assert_ne!(PrivateKey::generate().unwrap().public(), key.public());
}

#[test]
fn signatures_are_the_same_every_time_and_those_of_openssl_are_read_in_both_forms() {
    let (key, message) = (private("sec1"), b"a bundle's manifest");
    let (one, two) = (key.sign(message), key.sign(message));
    assert_eq!(one, two);
    let fits = |signature: &Signature| public("public").verifies(&Digest::sha256(message), signature);
    assert!(fits(&one));
    assert!(!fits(&key.sign(b"another")));
    assert!(!fits(&PrivateKey::generate().unwrap().sign(message)));
    let openssl =
        "MEYCIQDO3MADK38bPImYDTzXo8Sm6wA16iVx24FDYogDPRRcZgIhAIvj+md5scJZ3Q/j+NhPjOWkj+zlIJ/KoQpIIifPFbgG";
    let signature = Signature::from_file(openssl.as_bytes()).unwrap();
    assert!(fits(&signature));
    assert_eq!(Signature::from_file(&signature.to_der()), Some(signature));
    assert_eq!(Signature::from_file(format!(" {}\r\n", &openssl[..40]).as_bytes()), None);
    assert_eq!(Signature::from_file(signature.to_file().as_bytes()), Some(signature));
    for nonsense in [&b""[..], b"AAAA", b"MAYCAQACAQA=", b"MAYCAQECAQA=", &[0x30; 80]] {
        assert_eq!(Signature::from_file(nonsense), None, "{nonsense:?}");
    }
}
