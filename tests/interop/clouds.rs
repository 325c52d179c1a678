//! Amazon ECR and S3, emulated by moto.

use std::path::PathBuf;

use crate::desk::{Desk, Run};
use crate::harness::{PASSED, Skip, Tested, tests};
use crate::look::Look;
use crate::nginx::{Nginx, pass_to};
use crate::processes::Server;
use crate::programs;
use crate::registries::{Registry, Served};
use crate::shop::shop;

tests![ecr_by_moto, bundle_in_s3_by_moto];

const PASSWORD: &str = r#"import base64, boto3
client = boto3.client("ecr")
token = client.get_authorization_token()["authorizationData"][0]["authorizationToken"]
print(base64.b64decode(token).decode().split(":", 1)[1])"#;

const MADE: &str = r#"import boto3
made = boto3.client("ecr").describe_repositories()["repositories"]
assert all(r["imageTagMutability"] == "IMMUTABLE" and r["imageScanningConfiguration"]["scanOnPush"] for r in made), made
print(len(made))"#;

const UPLOAD: &str = r#"import boto3, sys
s3 = boto3.client("s3", endpoint_url=sys.argv[1], region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
s3.create_bucket(Bucket="carried", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
s3.upload_file(sys.argv[2], "carried", "2026/shop.tar.zst")"#;

/// moto's server, which emulates AWS.
struct Moto {
    url: String,
    /// A Python interpreter with boto3.
    python: PathBuf,
    _server: Server,
}

impl Moto {
    fn start(desk: &Desk) -> Result<Self, Skip> {
        programs::debian(&["python3"])?;
        let works = |home: &std::path::Path| home.join("bin/moto_server").is_file();
        let home = programs::python("moto-5.1.15-s3", "python3", &["moto[ecr,s3,server]==5.1.15"], works)?;
        let run = desk.run(home.join("bin/moto_server"), &["-H", "127.0.0.1", "-p", "0"]);
        let mut server = run.server(&desk.path("moto.log"));
        let url = server.address_after("moto", "Running on ");
        Ok(Self { url, python: home.join("bin/python"), _server: server })
    }

    fn python(&self, desk: &Desk, script: &str, arguments: &[&str]) -> Run {
        desk.run(&self.python, &["-c", script]).args(arguments)
    }
}

/// Amazon ECR: the API is moto's, the registry behind ECR's host name is docker-registry, reached through nginx as a
/// proxy.
fn ecr_by_moto(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::debian(&["nginx", "htpasswd"])?;
    let moto = Moto::start(desk)?;
    let aws = [
        ("AWS_ENDPOINT_URL", moto.url.as_str()),
        ("AWS_ACCESS_KEY_ID", "example"),
        ("AWS_SECRET_ACCESS_KEY", "example"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
    ];
    let password = moto.python(desk, PASSWORD, &[]).envs(&aws).ok().stdout.trim().to_owned();
    let users = desk.run("htpasswd", &["-Bbn", "AWS", &password]).ok().stdout;
    desk.write("users", &users);
    let auth = format!("auth: {{htpasswd: {{realm: ecr, path: {}}}}}", desk.at("users"));
    let registry = Registry::with(desk, "ecr", &auth);
    let nginx = Nginx::start(desk, "", &format!("client_max_body_size 0; {}", pass_to(&registry.address)));
    let proxy = format!("http://{}", nginx.address);

    let host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let place = format!("{host}/mirror");
    let import = || {
        let run = desk.bundle(&["import", &shop.file, "-d", &place, "--plain-http", host]);
        run.envs(&aws).env("HTTP_PROXY", &proxy)
    };
    let plan = import().args(&["--dry-run"]).ok();
    assert!(plan.stdout.lines().any(|line| line.starts_with("repositories to create:")), "{}", plan.shown());
    import().args(&["--ecr-immutable-tags", "--ecr-scan-on-push"]).ok();
    shop.arrived(&format!("{}/mirror", registry.address), &Look::user(&format!("AWS:{password}")));
    let made = moto.python(desk, MADE, &[]).envs(&aws).ok().stdout;
    Ok(format!("{} repositories made", made.trim()))
}

/// A bundle in moto's S3: verified and imported by ranges, with credentials and region from a profile.
fn bundle_in_s3_by_moto(desk: &Desk) -> Tested {
    let shop = shop()?;
    let moto = Moto::start(desk)?;
    moto.python(desk, UPLOAD, &[&moto.url, &shop.file]).ok();
    desk.write("aws/credentials", "[inside]\naws_access_key_id = a\naws_secret_access_key = b\n");
    desk.write("aws/config", "[profile inside]\nregion = eu-central-1\n");
    let (config, credentials) = (desk.at("aws/config"), desk.at("aws/credentials"));
    let profile = [
        ("AWS_CONFIG_FILE", config.as_str()),
        ("AWS_SHARED_CREDENTIALS_FILE", &credentials),
        ("AWS_PROFILE", "inside"),
        ("AWS_ENDPOINT_URL", &moto.url),
    ];
    let there = "s3://carried/2026/shop.tar.zst";
    desk.bundle(&["verify", there]).envs(&profile).ok();
    let inside = Served::folder(desk, "inside");
    desk.bundle(&["import", there, "-d", &inside.address, "--values", "v.yaml"]).envs(&profile).ok();
    shop.arrived(&inside.address, &Look::plain());
    desk.bundle(&["verify", "s3://carried/2026/absent.tar.zst"]).envs(&profile).ends(5);
    PASSED
}
