//! Amazon ECR: the API is a fake, the registry behind it is real and reached as ECR's host through a proxy.

use serde_json::{Value, json};

use crate::support::aws::FakeAws;
use crate::support::cli::Ran;
use crate::support::gap::{Gap, assert_whole, htpasswd};
use crate::support::images::{image, signature};
use crate::support::registry::{Effect, Fault, TestRegistry};

const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

struct Cloud {
    gap: Gap,
    aws: FakeAws,
}

/// A bundle of two images, and an ECR that gives `passwords`, of which `right` is accepted.
fn cloud(passwords: &[&str], right: &str) -> Cloud {
    let mut gap = Gap::new();
    gap.image("team/app", "1", &image(1)).image("other/tool", "1", &image(2));
    let (tag, signed) = signature(&image(1));
    gap.source.put_image("team/app", &tag, &signed);
    gap.export(&["-o", "out.tar.zst"]);
    gap.destination = TestRegistry::start_with_users(&htpasswd(gap.cli.folder(), "AWS", right));
    Cloud { gap, aws: FakeAws::start(passwords) }
}

impl Cloud {
    /// Imports with AWS credentials in the environment, and what `vary` adds.
    fn import(&self, arguments: &[&str], vary: &[(&str, &str)]) -> Ran {
        let destination = format!("{HOST}/mirror");
        let all = [&["import", "out.tar.zst", "-d", &destination, "--plain-http", HOST], arguments].concat();
        let mut command = self.gap.cli.command(&all);
        command
            .env("HTTP_PROXY", format!("http://{}", self.gap.destination.host()))
            .env("AWS_ENDPOINT_URL", self.aws.url())
            .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "a-secret-nobody-may-see")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(vary.iter().copied());
        let output = command.output().unwrap();
        let ran = Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!ran.shown().contains("a-secret-nobody-may-see"), "{}", ran.shown());
        ran
    }
}

#[test]
fn missing_repositories_are_made_as_asked_and_the_login_comes_from_aws() {
    let cloud = cloud(&["made-by-aws"], "made-by-aws");
    let dry = cloud.import(&["--dry-run"], &[]);
    assert_eq!(dry.code, 0, "{}", dry.shown());
    let list = "repositories to create:\n  mirror/other/tool\n  mirror/team/app\n";
    assert!(dry.stdout.contains(list), "{}", dry.shown());
    assert!(cloud.aws.repositories().is_empty());

    std::fs::write(cloud.gap.path("policy.json"), r#"{"rules":[]}"#).unwrap();
    let options = [
        "--ecr-immutable-tags",
        "--ecr-scan-on-push",
        "--ecr-kms-key",
        "arn:aws:kms:x",
        "--ecr-lifecycle",
        "policy.json",
    ];
    let ran = cloud.import(&options, &[]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert!(ran.stderr.contains("created repository mirror/team/app"), "{}", ran.shown());
    assert_whole(&cloud.gap.destination, "mirror/team/app", "1", &image(1));
    assert_whole(&cloud.gap.destination, "mirror/other/tool", "1", &image(2));
    let made = &cloud.aws.calls("CreateRepository")[0];
    assert_eq!(made["registryId"], json!("123456789012"));
    assert_eq!(made["imageTagMutability"], json!("IMMUTABLE"));
    assert_eq!(made["imageScanningConfiguration"]["scanOnPush"], json!(true));
    assert_eq!(
        made["encryptionConfiguration"],
        json!({ "encryptionType": "KMS", "kmsKey": "arn:aws:kms:x" })
    );
    let policies: Vec<Value> = cloud.aws.calls("PutLifecyclePolicy");
    assert!(policies.iter().all(|call| call["lifecyclePolicyText"] == json!(r#"{"rules":[]}"#)));
    assert_eq!(policies.len(), 2);

    let again = cloud.import(&[], &[]);
    assert_eq!(again.code, 0, "{}", again.shown());
    assert_eq!(cloud.aws.calls("CreateRepository").len(), 2, "nothing is made twice");
    assert_eq!(cloud.aws.calls("GetAuthorizationToken").len(), 3, "one login a run");
}

#[test]
fn a_login_that_has_ended_is_made_anew() {
    let mut cloud = cloud(&["first", "second"], "");
    // Open, but for one request at the start and one in the middle.
    cloud.gap.destination = TestRegistry::start();
    let challenge =
        || Effect::Answer(401, vec![("www-authenticate", "Basic realm=\"ecr\"".to_owned())], String::new());
    cloud.gap.destination.fault(Fault::on("GET", "/v2/", challenge()));
    cloud.gap.destination.fault(Fault::on("PUT", "/manifests/1", challenge()));
    let ran = cloud.import(&[], &[]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(cloud.aws.calls("GetAuthorizationToken").len(), 2);
    assert_whole(&cloud.gap.destination, "mirror/team/app", "1", &image(1));
}

#[test]
fn a_login_of_ones_own_comes_before_the_one_aws_gives() {
    let cloud = cloud(&["made-by-aws"], "stored");
    std::fs::create_dir_all(cloud.gap.path(".docker")).unwrap();
    let auth = format!(r#"{{"auths":{{"{HOST}":{{"username":"AWS","password":"stored"}}}}}}"#);
    std::fs::write(cloud.gap.path(".docker/config.json"), auth).unwrap();
    let ran = cloud.import(&[], &[]);
    assert_eq!(ran.code, 0, "{}", ran.shown());
    assert_eq!(cloud.aws.calls("GetAuthorizationToken").len(), 0);
}

#[test]
fn what_aws_refuses_is_told_in_its_words() {
    let cloud = cloud(&["made-by-aws"], "made-by-aws");
    cloud.aws.deny("CreateRepository");
    let ran = cloud.import(&[], &[]);
    assert_eq!(ran.code, 4, "{}", ran.shown());
    let said = "Amazon ECR, creating repository mirror/other/tool: AccessDeniedException: not for you";
    assert!(ran.stderr.contains(said), "{}", ran.shown());
    let ran = cloud.import(&[], &[("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")]);
    assert_eq!(ran.code, 4, "{}", ran.shown());
    assert!(ran.stderr.contains("a login for"), "{}", ran.shown());
    let ran = cloud.import(&["--ecr-lifecycle", "out.tar.zst"], &[]);
    assert_eq!(ran.code, 2, "{}", ran.shown());
}
