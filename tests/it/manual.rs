//! The manual and the README: every command line can be run, every flag and page exists, what they show is what is printed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use airgap_bundle::cli::Cli;
use airgap_bundle::manual::{PAGES, html, man_page};
use clap::{CommandFactory, Parser};
use serde_json::json;

use crate::support::cli::Cli as Program;
use crate::support::gap::Gap;
use crate::support::images::{ImageSpec, Layer, index};
use crate::support::pages::{Block, blocks, inline_code, pages, replay, runs};
use crate::support::sources::rust_files;

/// Console blocks that are not replayed, by a part of their first command.
const NOT_REPLAYED: [(&str, &str); 2] = [
    // Stopped by hand, in the middle; `resume.rs` has the same with a stalled registry.
    ("--limit-rate 5M", "an interrupt"),
    // `resume/appended.rs` has the same with a disk of its own.
    ("/media/stick", "a medium without sparse files"),
];

fn block(page: &str, part: &str) -> Block {
    let found = blocks().into_iter().find(|block| {
        block.page == page && block.language == "console" && block.commands()[0].0.contains(part)
    });
    found.unwrap_or_else(|| panic!("{page} has no console block that begins with {part}"))
}

#[test]
fn every_command_line_can_be_parsed() {
    let mut count = 0;
    for block in blocks().iter().filter(|block| ["sh", "console"].contains(&block.language.as_str())) {
        for (line, _) in block.commands() {
            for run in runs(&line) {
                count += 1;
                if run[1] == "…" {
                    continue;
                }
                let parsed = Cli::try_parse_from(&run);
                assert!(parsed.is_ok(), "{}: {line}\n{}", block.page, parsed.unwrap_err());
            }
        }
    }
    assert!(count > 80, "these are not all command lines: {count}");
}

/// In sentences there are parts of command lines: their command must exist, and have the flags.
#[test]
fn every_command_flag_and_topic_in_a_sentence_exists() {
    let mut root = Cli::command();
    root.build();
    let mut all = BTreeSet::new();
    let mut commands = vec![&root];
    while let Some(command) = commands.pop() {
        all.extend(command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)));
        commands.extend(command.get_subcommands());
    }
    // Of other programs.
    let foreign = ["all", "insecure", "worker-image", "worker-image-tag"];
    let flag = |word: &str| {
        let name = word.strip_prefix("--")?.split(['=', '…', '|', ',', '.']).next()?.to_owned();
        (!name.is_empty()).then_some(name)
    };
    for (page, code) in inline_code() {
        let words = code.split(' ').collect::<Vec<_>>();
        if words[0].starts_with("--") {
            let known = |name: &String| {
                all.contains(name)
                    || foreign.contains(&name.as_str())
                    || all.iter().any(|flag| words[0].ends_with('…') && flag.starts_with(name.as_str()))
            };
            assert!(flag(words[0]).is_none_or(|name| known(&name)), "{page}: there is no flag {code}");
        }
        let Some(at) = words.iter().position(|word| *word == "bundle").filter(|_| words[0] == "bundle")
        else {
            continue;
        };
        if words.get(at + 1) == Some(&"help") {
            let word = words.get(at + 2).copied().unwrap_or("TOPIC");
            let is_known =
                airgap_bundle::manual::page(word).is_some() || root.find_subcommand(word).is_some();
            assert!(is_known || ["TOPIC", "COMMAND"].contains(&word), "{page}: {code}");
            continue;
        }
        let (mut command, mut rest) = (&root, &words[at + 1..]);
        while let Some(next) = rest.first().and_then(|word| command.find_subcommand(word)) {
            (command, rest) = (next, &rest[1..]);
        }
        assert!(!std::ptr::eq(command, &raw const root) || rest.is_empty(), "{page}: there is no {code}");
        for name in rest.iter().take_while(|word| **word != "|").filter_map(|word| flag(word)) {
            let has = command.get_arguments().any(|argument| argument.get_long() == Some(&name));
            assert!(has, "{page}: {} has no --{name}: {code}", command.get_name());
        }
    }
}

#[test]
fn every_link_leads_to_a_file_or_an_anchor_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (page, text) in pages() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_there = target.starts_with("https://") || root.join(target).exists();
            assert!(is_there, "{page}: {target}");
            // Behind the gap there is neither a web nor a checkout.
            assert_eq!(page, "README.md", "a page of the manual leads out of it: {target}");
        }
    }
    let html = html("0");
    let values = |attribute: &str| {
        let values = html.split(attribute).skip(1).filter_map(|rest| rest.split('"').next());
        values.map(str::to_owned).collect::<Vec<_>>()
    };
    let ids = values(" id=\"");
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "two headings have one id");
    assert!(ids.len() > 60);
    for link in values("href=\"") {
        let anchor = link.strip_prefix('#').unwrap_or_else(|| panic!("{link} leads out of the page"));
        assert!(ids.iter().any(|id| id == anchor), "{link} leads nowhere");
    }
    for outside in ["<script", "src=", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
}

/// The pages that list things list all of them.
#[test]
fn every_command_page_and_variable_is_listed() {
    let (pages, root) = (pages(), Cli::command());
    let readme = &pages["README.md"];
    assert!(readme.lines().count() <= 200, "the README is an entrance, not a manual");
    for page in &PAGES {
        assert!(readme.contains(&format!("| `bundle help {}` |", page.topic)), "README.md: {}", page.topic);
    }
    let mut commands = vec![&root];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands());
        let shown = command.get_arguments().filter(|argument| !argument.is_hide_set());
        for variable in shown.filter_map(|argument| argument.get_env()) {
            let cell = format!("| `{}` |", variable.to_str().unwrap());
            assert!(pages["reference"].contains(&cell), "reference: {cell}");
        }
    }
    for command in root.get_subcommands() {
        assert!(
            readme.contains(&format!("`bundle {}`", command.get_name())),
            "README.md: {}",
            command.get_name()
        );
    }
    for code in [0, 1, 2, 3, 4, 5, 6, 7, 8] {
        let row = format!("\n| {code} | ");
        assert!(readme.contains(&row) && pages["reference"].contains(&row), "exit code {code}");
    }
}

/// What is listed as an error message is one: its fixed parts stand in the sources.
#[test]
fn every_message_of_the_page_on_troubleshooting_is_in_the_sources() {
    let sources: String = rust_files("src").into_iter().map(|(_, text)| text).collect();
    // Of the system and of servers.
    let foreign =
        ["No space left on device", "401 UNAUTHORIZED", "403", "404 MANIFEST_UNKNOWN", "413", "warning:"];
    let sources = sources.lines().map(str::trim_start).collect::<Vec<_>>().join("\n").replace("\\\n", "");
    let sources = sources.replace("{{", "{").replace("}}", "}");
    let text = pages()["troubleshooting"].clone();
    let messages: Vec<_> =
        text.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert!(messages.len() > 40);
    for message in messages {
        let message = foreign.iter().fold(message.to_owned(), |message, part| message.replace(part, "…"));
        for part in message.split(['…', '{', '}']).map(|part| part.trim().trim_end_matches(':')) {
            assert!(sources.contains(part), "no source says {part:?} of {message:?}");
        }
    }
}

#[test]
fn pages_are_printed_and_written_as_man_pages_and_html() {
    let program = Program::new();
    let page = program.run(&["help", "trust"]);
    assert_eq!(
        (page.code, page.stdout.as_str(), page.stderr.as_str()),
        (0, airgap_bundle::manual::page("trust").unwrap().plain().as_str(), "")
    );
    let all = program.run(&["help"]);
    assert_eq!(all.code, 0);
    for page in &PAGES {
        assert!(all.stdout.contains(&format!("\n  {} ", page.topic)), "{}", all.stdout);
    }
    assert!(all.stdout.contains("\n  export "), "{}", all.stdout);
    let export = program.run(&["help", "export"]);
    assert_eq!(export.stdout, program.run(&["export", "--help"]).stdout);
    let lock = program.run(&["help", "catalog", "lock"]);
    assert_eq!(lock.stdout, program.run(&["catalog", "lock", "--help"]).stdout);
    let none = program.run(&["help", "nonsense"]);
    assert_eq!(none.code, 2);
    assert!(
        none.stderr.contains("\"nonsense\"") && none.stderr.contains("hint: bundle help"),
        "{}",
        none.stderr
    );

    assert_eq!(program.run(&["man", "--dir", "man"]).code, 0);
    for page in &PAGES {
        let file = program.folder().join(format!("man/bundle-{}.7", page.topic));
        assert_eq!(std::fs::read_to_string(file).unwrap(), man_page(page, env!("CARGO_PKG_VERSION")));
    }
    assert!(program.folder().join("man/bundle-catalog-lock.1").is_file());
    assert_eq!(program.run(&["man", "--html", "manual.html"]).code, 0);
    let written = std::fs::read_to_string(program.folder().join("manual.html")).unwrap();
    assert_eq!(written, html(env!("CARGO_PKG_VERSION")));
    assert_eq!(program.run(&["man", "--html", "-"]).stdout, written);
    std::fs::write(program.folder().join("manual.html"), "mine").unwrap();
    let refused = program.run(&["man", "--html", "manual.html"]);
    assert!(refused.code == 1 && refused.stderr.contains("--force"), "{}", refused.shown());
    assert_eq!(program.run(&["man", "--html", "manual.html", "--force"]).code, 0);
}

/// `script` of util-linux is a terminal.
#[test]
fn on_a_terminal_a_page_goes_through_the_pager() {
    let shown = |pager: &str| {
        let program = Program::new().env("PAGER", pager);
        let (model, line) = (program.command(&[]), format!("{} help trust", env!("CARGO_BIN_EXE_bundle")));
        let mut script = Command::new("script");
        script
            .args(["-qec", &line, "/dev/null"])
            .current_dir(program.folder())
            .env_clear()
            .stdin(Stdio::null());
        let output =
            script.envs(model.get_envs().filter_map(|(key, value)| Some((key, value?)))).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).replace('\r', ""))
    };
    let Some(paged) = shown("sed 's/^/> /'") else { return };
    assert!(paged.contains("> # Trust\n"), "{paged}");
    for none in ["", "cat", "a-pager-that-is-not-there"] {
        let plain = shown(none).unwrap();
        assert!(plain.starts_with("# Trust\n"), "{none:?}: {plain}");
    }
}

/// The shop of `scripts/quickstart.sh`, with small layers.
fn shop() -> Gap {
    let gap = Gap::with(Program::new().env("AIRGAP_BUNDLE_PASSPHRASE", "correct horse"));
    services(&gap);
    gap.source.put_image("tools/wait", "latest", &ImageSpec::new(30).layer(Layer::tar(30, 20_000)).build());
    catalog(&gap, "server.image");
    gap
}

/// Its images except for the tool.
fn services(gap: &Gap) {
    let (base, java) = (Layer::gzip(1, 60_000), Layer::gzip(2, 90_000));
    let service =
        |seed| ImageSpec::new(seed).layer(base.clone()).layer(java.clone()).layer(Layer::gzip(seed, 20_000));
    let server = service(10).config(json!({ "User": "1000" })).build();
    gap.source.put_image("shop/server", "2.4.0", &server);
    gap.source.put_image("shop/worker", "2.4.0", &service(11).docker().build());
    let ui = |seed, arch| {
        ImageSpec::new(seed).platform("linux", arch).layer(base.clone()).layer(Layer::gzip(seed, 9_000))
    };
    let children =
        vec![(("linux", "amd64"), ui(20, "amd64").build()), (("linux", "arm64"), ui(21, "arm64").build())];
    gap.source.put_image("shop/ui", "2.4.0", &index(children, false));
}

/// Its catalog, in which the server's value paths begin with `server`.
fn catalog(gap: &Gap, server: &str) {
    let row = |component: &str, values: &str, image: &str| {
        format!(
            "  - chart: shop\n    component: {component}\n    image: registry.example.com/{image}\n    \
             registry: {values}.registry\n    repository: {values}.repository\n    tag: {values}.tag\n"
        )
    };
    let worker = if server == "server.image" { "worker.image" } else { server };
    let text = "name: shop\nversion: \"2.4\"\nregistryOverride: global.imageRegistry\nvariables:\n  VERSION:\n    default: 2.4.0\nimages:\n"
        .to_owned()
        + &row("Server", server, "shop/server:$VERSION")
        + &row("Worker", worker, "shop/worker:$VERSION")
        + &row("UI", "ui.image", "shop/ui:$VERSION")
        + &row("multiple", "wait.image", "tools/wait:latest");
    std::fs::write(gap.path("shop.yaml"), text).unwrap();
}

fn source(gap: &Gap) -> String {
    format!("registry.example.com={}", gap.source.host())
}

fn export(gap: &Gap, arguments: &[&str]) {
    let ran = gap.cli.run(&[&["export", "shop.yaml", "--source", &source(gap)], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.shown());
}

/// The pages pull from registry.example.com; here it is on loopback.
fn from_here(gap: &Gap) -> impl FnMut(&str) -> Option<String> {
    let source = source(gap);
    move |line: &str| {
        let (command, comment) = line.split_once("  #").unwrap_or((line, ""));
        let pulls =
            command.starts_with("bundle export") || command.contains("--online") || command.contains("lock");
        (pulls && !line.contains("--source")).then(|| format!("{command} --source {source}  #{comment}"))
    }
}

/// A helm that prints manifests of the shop.
fn helm(gap: &Gap) {
    use std::os::unix::fs::PermissionsExt;
    let images = ["shop/server:2.4.0", "shop/worker:2.4.0", "shop/ui:2.4.0", "tools/wait:latest"];
    let pods = images.map(|image| {
        format!("---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec: {{containers: [{{name: c, image: 'registry.example.com/{image}'}}]}}\n")
    });
    std::fs::create_dir_all(gap.path(".bin")).unwrap();
    let script = format!("#!/bin/sh\ncat <<'END'\n{}END\n", pods.concat());
    std::fs::write(gap.path(".bin/helm"), script).unwrap();
    std::fs::set_permissions(gap.path(".bin/helm"), PermissionsExt::from_mode(0o755)).unwrap();
}

fn damage(gap: &Gap, name: &str, layer: &Layer) {
    let mut bytes = gap.read(name);
    let at = bytes.windows(64).position(|window| window == &layer.bytes[100..164]).unwrap();
    bytes[at] ^= 1;
    std::fs::write(gap.path(name), bytes).unwrap();
}

fn keys(gap: &Gap, names: &[&str]) {
    for name in names {
        assert_eq!(gap.cli.run(&["keygen", "-o", name]).code, 0);
    }
}

#[test]
fn the_tour_and_the_cluster_are_as_shown() {
    let gap = shop();
    replay(&gap, &block("first-steps", "--dry-run"), |_| None);
    replay(&gap, &block("README.md", "bundle export"), |line| {
        if line.starts_with("bundle export") && !line.contains("--dry-run") {
            std::fs::remove_file(gap.path("shop-2.4.tar.zst")).unwrap();
            std::fs::remove_dir_all(gap.path("registry")).ok();
        }
        None
    });
    helm(&gap);
    replay(&gap, &block("cluster", "verify"), |_| None);
    replay(&gap, &block("cluster", "mirrors"), |_| None);
    catalog(&gap, "server");
    export(&gap, &["--force"]);
    replay(&gap, &block("cluster", "--per-image"), |_| None);
}

#[test]
fn the_catalogs_are_as_shown() {
    let gap = shop();
    let images =
        (0..3).map(|n| format!("{{name: c{n}, image: 'r.io/a{n}:1'}}")).collect::<Vec<_>>().join(", ");
    let pod =
        format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers: [{images}]\n---\n");
    let rest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: server}\nspec:\n  template:\n    spec:\n      \
                containers:\n        - name: c\n          image: \"{{ .Values.image }}:1\"\n          args: [--image=r.io/x:1]\n---\n\
                apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata:\n  script: |\n    image: {{ .Values.image }}\n";
    std::fs::write(gap.path("rendered.yaml"), pod + rest).unwrap();
    replay(&gap, &block("catalogs", "discover"), |line| Some(line.replace("shop.yaml", "found.yaml")));

    export(&gap, &["--dry-run"]);
    let locked = gap.cli.run(&["catalog", "lock", "shop.yaml", "--source", &source(&gap)]);
    assert_eq!(locked.code, 0, "{}", locked.shown());
    let other = ImageSpec::new(31).layer(Layer::tar(31, 20_000)).build();
    gap.source.put_image("tools/wait", "latest", &other);
    replay(&gap, &block("catalogs", "--check"), |_| None);

    let gap = Gap::new();
    services(&gap);
    catalog(&gap, "server.image");
    replay(&gap, &block("catalogs", "lint"), from_here(&gap));
}

#[test]
fn volumes_are_as_shown() {
    let mut gap = Gap::new();
    let image = ImageSpec::new(1).layer(Layer::gzip(1, 400_000)).layer(Layer::tar(2, 30_000)).build();
    let line = gap.source.put_image("shop/server", "2.4.0", &image);
    let second = ImageSpec::new(2).layer(Layer::gzip(1, 400_000)).build();
    gap.line(&line).image("shop/worker", "2.4.0", &second);
    replay(&gap, &block("transfer", "fat32"), |line| Some(line.replace("fat32", "100000")));
    replay(&gap, &block("transfer", "--parity"), |line| {
        if line.contains("verify") {
            std::fs::remove_file(gap.path("images.tar.zst.002")).unwrap();
        }
        Some(line.replace("700M", "70000 --force"))
    });
}

#[test]
fn deltas_and_damage_are_as_shown() {
    let gap = shop();
    export(&gap, &[]);
    let host = gap.destination.host();
    assert_eq!(gap.cli.run(&["import", "shop-2.4.tar.zst", "-d", &host]).code, 0);
    replay(&gap, &block("deltas", "inspect"), |_| None);
    let whole = gap.read("shop-2.4.tar.zst");
    damage(&gap, "shop-2.4.tar.zst", &Layer::gzip(2, 90_000));
    replay(&gap, &block("trust", "bundle verify shop-2.4.tar.zst"), |_| None);
    let fresh = Gap::new();
    std::fs::write(fresh.path("shop-2.4.tar.zst"), whole).unwrap();
    damage(&fresh, "shop-2.4.tar.zst", &Layer::gzip(11, 20_000));
    replay(&fresh, &block("transfer", "--salvage"), |_| None);
}

#[test]
fn signatures_and_policies_are_as_shown() {
    let gap = shop();
    keys(&gap, &["other", "reviewer", "inside"]);
    replay(&gap, &block("trust", "keygen"), from_here(&gap));
    let mut here = from_here(&gap);
    replay(&gap, &block("trust", "--statement"), |line| {
        here(line).map(|line| line.replace("bundle export", "bundle export --force"))
    });
    let policy = "signature: true\nnoRoot: true\nmaxImageSize: 90kB\n";
    std::fs::write(gap.path("policy.yaml"), policy).unwrap();
    replay(&gap, &block("trust", "--policy"), |_| None);
    let waive = "noRoot: true\nwaive:\n  - {rule: noRoot, image: 'registry.example.com/*', reason: SEC-12, until: 2097-01-31}\n";
    std::fs::write(gap.path("policy.yaml"), waive).unwrap();
    let waived =
        blocks().into_iter().rfind(|block| block.page == "trust" && block.text.contains("(waived")).unwrap();
    replay(&gap, &waived, |_| None);
}

/// A block is replayed above, or there is a reason.
#[test]
fn every_console_block_is_replayed_or_has_a_reason() {
    let tests = include_str!("manual.rs");
    for block in blocks().iter().filter(|block| block.language == "console") {
        let first = &block.commands()[0].0;
        let is_excused = NOT_REPLAYED.iter().any(|(part, _)| first.contains(part));
        let named = tests.split("block(\"").skip(1).filter_map(|rest| {
            let mut parts = rest.split('"');
            Some((parts.next()?, parts.nth(1)?))
        });
        let mut named = named.filter(|(page, part)| *page == block.page && first.contains(part));
        assert!(
            is_excused || named.next().is_some() || block.text.contains("(waived"),
            "{}: {first}",
            block.page
        );
    }
}
