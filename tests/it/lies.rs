//! Registries that say what is not so, in ways no specification foresees: what is said in return is clear, nothing is
//! lost, nothing goes on for ever, and nothing that is not whole gets a name.

use std::time::Instant;

use crate::support::cli::Ran;
use crate::support::gap::{Gap, assert_whole};
use crate::support::images::{ImageSpec, Layer, TestImage, image};
use crate::support::liar::{Asked, Liar, Lie, answer};

const QUICK: [&str; 4] = ["--retries", "2", "--timeout", "1s"];
/// No lie may hold a run up for longer; an honest one takes a tenth of a second.
const LONGEST: u64 = 30;

/// What a lie is to lead to.
#[derive(Clone, Copy, Debug)]
enum End {
    /// It does not matter.
    Done,
    /// The run fails, with a code of these, and says so in these words.
    Fails(&'static [i32], &'static str),
}
use End::{Done, Fails};

fn app() -> TestImage {
    ImageSpec::new(7).layer(Layer::gzip(7, 300_000)).layer(Layer::gzip(8, 1_000)).build()
}

fn judge(name: &str, ran: &Ran, end: End, began: Instant) {
    assert!(began.elapsed().as_secs() < LONGEST, "{name}: took {:?}: {}", began.elapsed(), ran.shown());
    assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.shown());
    match end {
        Done => assert_eq!(ran.code, 0, "{name}: {}", ran.shown()),
        Fails(codes, words) => {
            assert!(codes.contains(&ran.code), "{name}: {}", ran.shown());
            assert!(ran.stderr.contains(words), "{name}: {}", ran.shown());
        }
    }
}

/// An export from a registry that lies, and an import of what came of it.
fn exported(name: &str, end: End, lie: impl Fn(&Asked, &TestImage) -> Lie + Send + Sync + 'static) {
    let (image, mut gap) = (app(), Gap::new());
    gap.source.put_image("team/app", "1", &image);
    let told = image.clone();
    let liar = Liar::before(&gap.source, move |asked| lie(asked, &told));
    gap.line(&format!("{}/team/app:1", liar.host()));
    let began = Instant::now();
    let ran = gap.try_export(&[&["-o", "out.tar.zst"], &QUICK[..]].concat());
    judge(name, &ran, end, began);
    assert!(liar.told() > 0, "{name}: nobody asked: {:?}", liar.asked());
    assert_eq!(gap.path("out.tar.zst").exists(), matches!(end, Done), "{name}");
    if matches!(end, Done) {
        gap.import("out.tar.zst", &[]);
        assert_whole(&gap.destination, "team/app", "1", &image);
    }
}

/// An import into a registry that lies. When it is over, the tag is whole or not there.
fn imported(name: &str, end: End, lie: impl Fn(&Asked, &TestImage) -> Lie + Send + Sync + 'static) {
    let (image, mut gap) = (app(), Gap::new());
    gap.image("team/app", "1", &image).export(&["-o", "out.tar.zst"]);
    let told = image.clone();
    let liar = Liar::before(&gap.destination, move |asked| lie(asked, &told));
    let began = Instant::now();
    let host = liar.host();
    let ran = gap.cli.run(&[&["import", "out.tar.zst", "-d", &host], &QUICK[..]].concat());
    judge(name, &ran, end, began);
    assert!(liar.told() > 0, "{name}: nobody asked: {:?}", liar.asked());
    if matches!(end, Done) || gap.destination.manifest("team/app", "1").is_some() {
        assert_whole(&gap.destination, "team/app", "1", &image);
    }
    assert_eq!(gap.path("out.values.yaml").exists(), matches!(end, Done), "{name}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

fn of(image: &TestImage, headers: &str, body: &[u8]) -> Vec<u8> {
    let headers = format!("content-type: {}\r\n{headers}", image.media_type);
    answer("200 OK", &headers, body)
}

/// The first third of a blob, and the end of the connection.
fn cut(blob: &[u8]) -> Lie {
    let whole = answer("200 OK", "", blob);
    Lie::Raw(whole[..whole.len() / 3].to_vec())
}

const MANIFEST: &str = "/v2/team/app/manifests/";
const UPLOADS: &str = "/v2/team/app/blobs/uploads/";

fn layer(image: &TestImage) -> String {
    format!("/blobs/{}", image.layers()[0])
}

fn when(hit: bool, lie: impl FnOnce() -> Lie) -> Lie {
    if hit { lie() } else { Lie::No }
}

#[test]
fn manifests_that_are_not_what_was_said() {
    exported("a HEAD that names what is not there", Fails(&[1, 3], "team/app"), |asked, image| {
        let digest = format!("docker-content-digest: sha256:{}\r\n", "0".repeat(64));
        when(asked.is("HEAD", MANIFEST), || Lie::Raw(of(image, &digest, b"")))
    });
    exported("a manifest in gzip that nobody asked for", Done, |asked, image| {
        when(asked.is("GET", MANIFEST), || {
            Lie::Raw(of(image, "content-encoding: gzip\r\n", &gzip(&image.manifest)))
        })
    });
    exported("a manifest without end", Fails(&[3], "larger than"), |asked, image| {
        when(asked.is("GET", MANIFEST), || {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ntransfer-encoding: chunked\r\n\r\n",
                image.media_type
            );
            Lie::Endless(head.into_bytes(), [b"8000\r\n", &vec![b' '; 0x8000][..], b"\r\n"].concat())
        })
    });
    exported("no content where a manifest should be", Fails(&[1, 3], "team/app"), |asked, _| {
        when(asked.is("GET", MANIFEST), || {
            Lie::Raw(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_vec())
        })
    });
    exported("not modified", Fails(&[1, 3], "304"), |asked, _| {
        when(asked.is("GET", MANIFEST), || Lie::Raw(answer("304 Not Modified", "", b"")))
    });
    exported("two digests in one answer", Done, |asked, image| {
        let twice = format!("docker-content-digest: {}\r\ndocker-content-digest: x\r\n", image.digest);
        when(asked.is("GET", MANIFEST), || Lie::Raw(of(image, &twice, &image.manifest)))
    });
    exported("bytes in a header that are no text", Done, |asked, image| {
        let mut bytes = of(image, "x-odd: ?\r\nwarning: 299 - \"\u{1}?\"\r\n", &image.manifest);
        bytes.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
        bytes.retain(|byte| *byte != 1);
        when(asked.is("GET", MANIFEST), || Lie::Raw(bytes))
    });
}

#[test]
fn answers_that_strain_http() {
    exported("hints before every answer", Done, |_, _| {
        Lie::Before(
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
                .to_vec(),
        )
    });
    imported("hints before every answer", Done, |_, _| {
        Lie::Before(b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec())
    });
    exported("the same length twice", Done, |asked, image| {
        let twice = format!("content-length: {}\r\n", image.manifest.len());
        when(asked.is("GET", MANIFEST), || Lie::Raw(of(image, &twice, &image.manifest)))
    });
    exported("two lengths", Fails(&[5], "team/app"), |asked, image| {
        when(asked.is("GET", MANIFEST), || Lie::Raw(of(image, "content-length: 7\r\n", &image.manifest)))
    });
    exported("no HTTP at all", Fails(&[1, 5], "team/app"), |asked, _| {
        when(asked.is("GET", MANIFEST), || Lie::Raw(b"220 mail.example.com ESMTP\r\n".to_vec()))
    });
    exported("a head without end", Fails(&[1, 5], "team/app"), |asked, _| {
        when(asked.is("GET", MANIFEST), || {
            Lie::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), [b"x-a: ", &vec![b'a'; 4000][..], b"\r\n"].concat())
        })
    });
    exported("a head and then silence", Fails(&[5], "team/app"), |asked, image| {
        when(asked.is("GET", MANIFEST), || {
            let whole = of(image, "", &image.manifest);
            Lie::Silence(whole[..whole.len() - 10].to_vec())
        })
    });
    exported("ten schemes in 64 KiB", Fails(&[4], "team/app"), |_, _| {
        let scheme = |n| format!("www-authenticate: Scheme{n} a=\"{}\", Other{n}\r\n", "b".repeat(6400));
        let headers: String = (0..10).map(scheme).collect();
        Lie::Raw(answer("401 Unauthorized", &headers, b""))
    });
}

#[test]
fn blobs_that_are_longer_shorter_or_elsewhere() {
    exported("a blob of no bytes", Fails(&[3, 5], "team/app"), |asked, image| {
        when(asked.is("GET", &layer(image)), || Lie::Raw(answer("200 OK", "", b"")))
    });
    exported("a length that is too short", Fails(&[3, 5], "team/app"), |asked, image| {
        when(asked.is("GET", &layer(image)), || {
            let mut bytes = answer("200 OK", "", &[0; 100]);
            bytes.extend_from_slice(&vec![0; 300_000]);
            Lie::Raw(bytes)
        })
    });
    exported("a length that is too long", Fails(&[3, 5], "team/app"), |asked, image| {
        when(asked.is("GET", &layer(image)), || {
            Lie::Raw(
                b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\nconnection: close\r\n\r\nshort".to_vec(),
            )
        })
    });
    exported("a blob without end", Fails(&[3, 5], "team/app"), |asked, image| {
        when(asked.is("GET", &layer(image)), || {
            Lie::Endless(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec(), vec![0; 65_536])
        })
    });
    exported("another part than was asked for", Done, |asked, image| {
        let bytes = &image.blobs[1].1;
        when(asked.is("GET", &layer(image)) && asked.lies < 2, || {
            if asked.lies == 0 {
                return cut(bytes);
            }
            let headers = format!("content-range: bytes 5-{}/{}\r\n", bytes.len() - 1, bytes.len());
            Lie::Raw(answer("206 Partial Content", &headers, &bytes[5..]))
        })
    });
    exported("a part where the whole was asked for", Fails(&[1, 3, 5], "team/app"), |asked, image| {
        when(asked.is("GET", &layer(image)), || {
            Lie::Raw(answer("206 Partial Content", "content-range: bytes 5-9/300000\r\n", b"12345"))
        })
    });
    exported("no range will do", Done, |asked, image| {
        let hit = asked.is("GET", &layer(image)) && (asked.lies == 0 || asked.head.contains("\nrange:"));
        when(hit, || {
            if asked.lies == 0 {
                return cut(&image.blobs[1].1);
            }
            Lie::Raw(answer("416 Range Not Satisfiable", "content-range: bytes */300000\r\n", b"no"))
        })
    });
    for (name, location) in [
        ("round in a circle", "/v2/again"),
        ("to a file", "file:///etc/passwd"),
        ("to nothing that is a URL", "http://[::bad"),
        ("to a script", "javascript:alert(1)"),
    ] {
        exported(name, Fails(&[1, 3, 5], "team/app"), move |asked, image| {
            when(asked.is("GET", &layer(image)) || asked.is("GET", "/v2/again"), || {
                Lie::Raw(answer("308 Permanent Redirect", &format!("location: {location}\r\n"), b""))
            })
        });
    }
    exported("a redirect to nowhere in particular", Fails(&[1, 3, 5], "team/app"), |asked, image| {
        when(asked.is("GET", &layer(image)), || Lie::Raw(answer("307 Temporary Redirect", "", b"")))
    });
}

#[test]
fn lists_that_lead_nowhere() {
    exported(
        "referrers whose next page is the same",
        Fails(&[1], "the list is too long, or has no end"),
        |asked, _| {
            when(asked.is("GET", "/referrers/"), || {
                let headers = format!(
                    "content-type: application/vnd.oci.image.index.v1+json\r\nlink: <{}>; rel=\"next\"\r\n",
                    asked.path
                );
                Lie::Raw(answer("200 OK", &headers, br#"{"schemaVersion":2,"manifests":[]}"#))
            })
        },
    );
    exported(
        "referrers with ever another page",
        Fails(&[1], "the list is too long, or has no end"),
        |asked, _| {
            when(asked.is("GET", "/referrers/"), || {
                let headers = format!(
                    "content-type: application/vnd.oci.image.index.v1+json\r\nlink: </v2/team/app/referrers/x?page={}>; rel=\"next\"\r\n",
                    asked.lies
                );
                Lie::Raw(answer("200 OK", &headers, br#"{"schemaVersion":2,"manifests":[]}"#))
            })
        },
    );
    exported("a web page for referrers", Done, |asked, _| {
        when(asked.is("GET", "/referrers/"), || {
            Lie::Raw(answer("200 OK", "content-type: text/html\r\n", b"<html>"))
        })
    });
    exported("the image refers to itself", Done, |asked, image| {
        when(asked.is("GET", "/referrers/"), || {
            let index = serde_json::json!({ "schemaVersion": 2, "manifests": [image.descriptor()] });
            let headers = "content-type: application/vnd.oci.image.index.v1+json\r\n";
            Lie::Raw(answer("200 OK", headers, index.to_string().as_bytes()))
        })
    });
    exported("a referrer that is not there", Fails(&[1, 3], "team/app"), |asked, _| {
        when(asked.is("GET", "/referrers/"), || {
            let index = serde_json::json!({ "schemaVersion": 2, "manifests": [image(99).descriptor()] });
            let headers = "content-type: application/vnd.oci.image.index.v1+json\r\n";
            Lie::Raw(answer("200 OK", headers, index.to_string().as_bytes()))
        })
    });
}

#[test]
fn registries_that_say_they_have_taken_it() {
    imported("a manifest that is taken and not kept", Fails(&[1], "team/app"), |asked, _| {
        when(asked.is("PUT", MANIFEST), || Lie::Raw(answer("200 OK", "", b"")))
    });
    imported("a blob that is taken and not kept", Fails(&[1], "team/app"), |asked, _| {
        when(asked.is("PUT", UPLOADS), || Lie::Raw(answer("201 Created", "", b"")))
    });
    imported("blobs that are said to be there", Done, |asked, image| {
        when(asked.is("HEAD", "/blobs/"), || {
            let size = image.blobs.iter().find(|(digest, _)| asked.path.ends_with(&digest.to_string()));
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                size.map_or(0, |(_, blob)| blob.len())
            );
            Lie::Raw(head.into_bytes())
        })
    });
    imported("another digest in the answer", Done, |asked, _| {
        when(asked.is("PUT", MANIFEST), || {
            let digest = format!("docker-content-digest: sha256:{}\r\n", "1".repeat(64));
            Lie::Instead(answer("201 Created", &digest, b""))
        })
    });
    imported("a web page for a commit", Fails(&[1], "team/app"), |asked, _| {
        when(asked.is("PUT", "/v2/"), || {
            Lie::Raw(answer("200 OK", "content-type: text/html\r\n", b"<title>Hello</title>"))
        })
    });
    imported("failures of what has been done", Done, |asked, _| {
        when((asked.is("PUT", "/v2/") || asked.is("PATCH", "/v2/")) && asked.lies < 1, || {
            Lie::Instead(answer("502 Bad Gateway", "", b"<html>"))
        })
    });
    imported("how much it holds is nonsense", Done, |asked, _| {
        when(asked.is("PATCH", "/v2/") && asked.lies < 1, || {
            Lie::Instead(answer("202 Accepted", "range: bytes 18446744073709551615-0\r\n", b""))
        })
    });
}

#[test]
fn uploads_that_lead_elsewhere() {
    for (name, location) in [
        ("an upload to a file", "location: file:///tmp/x\r\n"),
        ("an upload to no URL", "location: http://[::bad\r\n"),
        ("an upload to nowhere", ""),
        ("an upload to nobody", "location: http://127.0.0.1:1/upload\r\n"),
    ] {
        imported(name, Fails(&[1, 5], "team/app"), move |asked, _| {
            when(asked.is("POST", UPLOADS), || Lie::Raw(answer("202 Accepted", location, b"")))
        });
    }
    imported("an upload that is asked for elsewhere", Done, |asked, _| {
        when(asked.is("POST", UPLOADS) && !asked.path.contains("moved"), || {
            let location = format!("location: {UPLOADS}?moved=1\r\n");
            Lie::Raw(answer("308 Permanent Redirect", &location, b""))
        })
    });
    imported("an upload that is asked for in a circle", Fails(&[1, 5], "team/app"), |asked, _| {
        when(asked.is("POST", UPLOADS), || {
            Lie::Raw(answer("307 Temporary Redirect", &format!("location: {UPLOADS}\r\n"), b""))
        })
    });
    imported("too large, however small", Fails(&[1], "limits the size"), |asked, _| {
        when(asked.is("PATCH", "/v2/") || asked.is("PUT", UPLOADS), || {
            Lie::Raw(answer("413 Content Too Large", "", b"<html>"))
        })
    });
}

#[test]
fn registries_that_ask_for_patience() {
    for status in ["425 Too Early", "429 Too Many Requests", "503 Service Unavailable"] {
        let wait = move |asked: &Asked, _: &TestImage| {
            let date = httpdate::fmt_http_date(std::time::SystemTime::now());
            let headers = format!("retry-after: {date}\r\n");
            when(asked.is(&asked.method, "/v2/team") && asked.lies < 1, || {
                Lie::Raw(answer(status, &headers, b"<html>"))
            })
        };
        exported(status, Done, wait);
        imported(status, Done, wait);
    }
    let year = |_: &Asked, _: &TestImage| {
        Lie::Raw(answer("429 Too Many Requests", "retry-after: Fri, 01 Jan 2100 00:00:00 GMT\r\n", b""))
    };
    exported("a wait of years", Fails(&[5], "rate limit"), year);
    imported("a wait of years", Fails(&[5], "rate limit"), year);
}
