//! Two registries with a gap between them, and a folder to carry a bundle in.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use airgap_bundle::image::Digest;

use super::cli::{Cli, Ran};
use super::images::TestImage;
use super::registry::TestRegistry;

pub struct Gap {
    pub cli: Cli,
    pub source: TestRegistry,
    pub destination: TestRegistry,
    lines: Vec<String>,
}

impl Gap {
    pub fn new() -> Self {
        Self::with(Cli::new())
    }

    /// A gap whose runs have the environment of `cli`.
    pub fn with(cli: Cli) -> Self {
        Self { cli, source: TestRegistry::start(), destination: TestRegistry::start(), lines: Vec::new() }
    }

    /// Stores an image at the source, and puts its tag on the list.
    pub fn image(&mut self, repository: &str, tag: &str, image: &TestImage) -> &mut Self {
        let reference = self.source.put_image(repository, tag, image);
        self.line(&reference)
    }

    /// Adds a line to the list.
    pub fn line(&mut self, line: &str) -> &mut Self {
        self.lines.push(line.to_owned());
        std::fs::write(self.path("images.txt"), self.lines.join("\n") + "\n").unwrap();
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.cli.folder().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// `bundle export images.txt` with further arguments; it must succeed.
    pub fn export(&self, arguments: &[&str]) -> Ran {
        let ran = self.try_export(arguments);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        ran
    }

    pub fn try_export(&self, arguments: &[&str]) -> Ran {
        self.cli.run(&[&["export", "images.txt"], arguments].concat())
    }

    /// `bundle import` of `bundle` with further arguments; it must succeed.
    pub fn import(&self, bundle: &str, arguments: &[&str]) -> Ran {
        let ran = self.try_import(bundle, arguments);
        assert_eq!(ran.code, 0, "{}", ran.shown());
        ran
    }

    pub fn try_import(&self, bundle: &str, arguments: &[&str]) -> Ran {
        let host = self.destination.host();
        self.cli.run(&[&["import", bundle, "-d", &host], arguments].concat())
    }

    /// Names of what is in the folder, and of what is in `below` it.
    pub fn files(&self) -> Vec<String> {
        files(self.cli.folder())
    }

    /// Runs the program without waiting for it.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        Running::of(self.cli.command(arguments))
    }

    /// Runs the program with `input` on its stdin.
    pub fn fed(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.cli.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that refuses before it reads breaks the pipe.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input);
        Running(Some(child)).wait()
    }

    /// A run and what it left, as one text to snapshot.
    pub fn shown(&self, ran: &Ran) -> String {
        format!("{}\n--- files\n{}", ran.shown(), self.files().join("\n"))
    }

    /// Compares `text`, without what differs from run to run, with the snapshot `name` in `snapshots/<folder>`.
    pub fn snapshot(&self, folder: &str, name: &str, text: &str) {
        let mut settings = insta::Settings::clone_current();
        for (pattern, shown) in self.filters() {
            settings.add_filter(&pattern, shown);
        }
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_snapshot_path(format!("../snapshots/{folder}"));
        settings.bind(|| insta::assert_snapshot!(name, text));
    }

    /// What `cli.filters()` has, and the ports of both registries by their role.
    pub fn filters(&self) -> Vec<(String, &'static str)> {
        let host = |registry: &TestRegistry| registry.host().replace('.', r"\.");
        let mut filters = vec![(host(&self.source), "SOURCE"), (host(&self.destination), "DESTINATION")];
        filters.extend(self.cli.filters());
        // A bundle's id covers its sources, whose port is another each time.
        filters.push((r"\bid sha256:[0-9a-f]{64}".to_owned(), "id [ID]"));
        filters.push((r"\bbyte \d+".to_owned(), "byte [N]"));
        filters.push((r"request-[0-9a-f]{12}".to_owned(), "request-[HASH]"));
        filters
    }
}

/// An htpasswd file with one user in it.
pub fn htpasswd(folder: &Path, user: &str, password: &str) -> PathBuf {
    let path = folder.join("htpasswd");
    let hash = bcrypt::hash(password, 4).unwrap();
    std::fs::write(&path, format!("{user}:{hash}\n")).unwrap();
    path
}

/// A loopback address where nobody listens.
pub fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Names of the plain files in `folder`, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Every manifest and blob of `image` is in `repository`, and `reference` names it.
pub fn assert_whole(registry: &TestRegistry, repository: &str, reference: &str, image: &TestImage) {
    let found = registry
        .manifest(repository, reference)
        .unwrap_or_else(|| panic!("{repository}:{reference} is not there"));
    assert_eq!(found.bytes, image.manifest, "{repository}:{reference}");
    assert_eq!(*found.media_type, *image.media_type, "{repository}:{reference}");
    for child in &image.children {
        assert_whole(registry, repository, &child.digest.to_string(), child);
    }
    for digest in image.all_blobs().keys() {
        assert!(registry.has_blob(repository, digest), "{repository} {digest}");
    }
}

/// How often each blob was committed by an upload that carried its bytes.
pub fn uploads(registry: &TestRegistry) -> std::collections::BTreeMap<Digest, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for one in registry.log() {
        let committed = one.method == "PUT" && one.path.contains("/blobs/uploads/");
        if committed && let Some(digest) = query(&one.query, "digest") {
            *counts.entry(digest.parse().unwrap()).or_default() += 1;
        }
    }
    counts
}

/// A parameter of a query, decoded as far as digests need it.
pub fn query(query: &str, key: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == key).then(|| value.replace("%3A", ":").replace("%3a", ":").replace("%2F", "/"))
    })
}

/// A run of the program; killed when dropped.
pub struct Running(Option<Child>);

impl Running {
    pub fn of(mut command: Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::waits_for(command.spawn().unwrap())
    }

    /// A run that was started elsewhere.
    pub fn waits_for(child: Child) -> Self {
        Self(Some(child))
    }

    pub fn id(&self) -> u32 {
        self.0.as_ref().unwrap().id()
    }

    pub fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    /// Polls until `condition` holds; the program must not end before.
    pub fn until(&mut self, what: &str, condition: impl FnMut() -> bool) {
        assert!(self.comes_to(what, condition), "ended before {what}: {}", self.wait().shown());
    }

    /// Polls until `condition` holds. False if the program ended before.
    pub fn comes_to(&mut self, what: &str, mut condition: impl FnMut() -> bool) -> bool {
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !condition() {
            if self.ended().is_some() {
                return condition();
            }
            assert!(std::time::Instant::now() < limit, "never: {what}");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        true
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child().try_wait().unwrap()
    }

    /// Bytes the program has given to `write`, as the kernel counts; also after its end, until it is waited for.
    pub fn written(&self) -> u64 {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.id())).unwrap();
        let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
        line.unwrap().parse().unwrap()
    }

    /// Waits until it has ended, and leaves it to be looked at.
    pub fn until_ended(&self) {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(id), options).unwrap();
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(mut self) {
        let mut child = self.0.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_raw(i32::try_from(self.id()).unwrap()).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> Ran {
        Ran::of(&self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
