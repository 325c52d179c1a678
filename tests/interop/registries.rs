//! Registries on free ports, stopped when dropped: Debian's docker-registry and distribution 3, which have the same
//! configuration; the embedded one. Others are in `zot`, `gitea` and `pulp`.

pub mod gitea;
pub mod pulp;
pub mod zot;

use std::path::{Path, PathBuf};

use crate::desk::Desk;
use crate::processes::Server;

/// The password of the user `adm` in Gitea and in Pulp.
pub const PASSWORD: &str = "pass-word-1";

/// A `docker-registry`, or a `registry` of distribution 3.
#[derive(Debug)]
pub struct Registry {
    pub address: String,
    program: PathBuf,
    name: String,
    more: String,
    server: Server,
}

impl Registry {
    /// With its data in the desk's folder, below `name`.
    pub fn start(desk: &Desk, name: &str) -> Self {
        Self::with(desk, name, "")
    }

    /// With further lines of its configuration: those that are indented belong to `http:`.
    pub fn with(desk: &Desk, name: &str, more: &str) -> Self {
        Self::of("docker-registry".as_ref(), desk, name, "", more)
    }

    /// A registry that does not accept uploads.
    pub fn read_only(desk: &Desk, name: &str) -> Self {
        let storage = "  maintenance: {readonly: {enabled: true}}";
        Self::of("docker-registry".as_ref(), desk, name, storage, "")
    }

    pub fn of(program: &Path, desk: &Desk, name: &str, storage: &str, more: &str) -> Self {
        let more = format!("{storage}\nhttp:\n  addr: ADDRESS\n{more}\n");
        let (address, server) = started(program, desk, name, &more, "127.0.0.1:0");
        Self { address, program: program.to_owned(), name: name.to_owned(), more, server }
    }

    pub fn stop(&mut self) {
        self.server.stop();
    }

    /// Starts another process with the same data at the same address, after `stop`.
    pub fn start_again(&mut self, desk: &Desk) {
        let (address, server) = started(&self.program, desk, &self.name, &self.more, &self.address);
        assert_eq!(address, self.address);
        self.server = server;
    }
}

fn started(program: &Path, desk: &Desk, name: &str, more: &str, address: &str) -> (String, Server) {
    let data = desk.at(&format!("{name}.data"));
    let head = format!(
        "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\nstorage:\n  \
         filesystem: {{rootdirectory: {data}}}\n  delete: {{enabled: true}}\n"
    );
    let config = format!("{name}.yml");
    desk.write(&config, &(head + &more.replace("ADDRESS", address)));
    let run = desk.run(program, &["serve", &config]).env("OTEL_TRACES_EXPORTER", "none");
    let mut server = run.server(&desk.path(&format!("{name}.log")));
    let address = server.address_after(&format!("the registry `{name}`"), "listening on ");
    (address, server)
}

/// `bundle serve`.
#[derive(Debug)]
pub struct Served {
    pub address: String,
    _server: Server,
}

impl Served {
    /// `arguments` say what is served.
    pub fn start(desk: &Desk, name: &str, arguments: &[&str]) -> Self {
        let file = format!("{name}.address");
        desk.remove(&file);
        let run =
            desk.bundle(&["serve", "--address", "127.0.0.1:0", "--address-file", &file]).args(arguments);
        let mut server = run.server(&desk.path(&format!("{name}.log")));
        let address = || std::fs::read_to_string(desk.path(&file)).unwrap_or_default().trim().to_owned();
        server.until(&format!("the registry `{name}`"), || !address().is_empty());
        Self { address: address(), _server: server }
    }

    /// Serves the directory `name`, which accepts pushes.
    pub fn folder(desk: &Desk, name: &str) -> Self {
        Self::start(desk, name, &["--dir", name])
    }
}
