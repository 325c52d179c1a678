//! Gitea with `SQLite`, as the user nobody: it refuses to be root.

use std::time::Duration;

use tempfile::TempDir;

use super::PASSWORD;
use crate::desk::{Desk, Run};
use crate::harness::Skip;
use crate::look::answers;
use crate::processes::{Server, on_a_free_port, root};
use crate::programs::{self, GoBuild, copy_writable};

const PROGRAM: GoBuild = GoBuild {
    name: "gitea",
    module: "code.gitea.io/gitea@v1.26.2",
    package: ".",
    tags: "sqlite sqlite_unlock_notify",
    cgo: "1",
    folders: &["options", "templates"],
};

/// A directory of another user, and programs that run there as that user, without other rights.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    user: &'static str,
}

impl Home {
    pub fn of(desk: &Desk, name: &str, user: &'static str) -> Result<Self, Skip> {
        programs::root(&format!("{name} is run as another user, which"))?;
        programs::optional(&["setpriv"])?;
        // Lets other users pass through the directory of all tests, without listing it.
        desk.run("chmod", &["711", &root().to_string_lossy()]).ok();
        let folder = TempDir::with_prefix_in(format!("{name}-"), root()).unwrap();
        let home = Self { folder, user };
        home.hand_over(desk);
        Ok(home)
    }

    /// Everything in it belongs to the user from now on.
    pub fn hand_over(&self, desk: &Desk) {
        desk.run("chown", &["-R", self.user, &self.at("")]).ok();
    }

    pub fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("temporary folders have plain names").to_owned()
    }

    /// A program, run in this folder as the user.
    pub fn run(&self, desk: &Desk, program: &str, arguments: &[&str]) -> Run {
        let group = desk.run("id", &["-g", self.user]).ok().stdout;
        let run =
            desk.run("setpriv", &["--reuid", self.user, "--regid", group.trim(), "--clear-groups", program]);
        // This user cannot write to the desk's directories.
        let home = [("HOME", self.at("")), ("TMPDIR", self.at("")), ("XDG_RUNTIME_DIR", self.at(""))];
        let run = home.iter().fold(run, |run, (name, value)| run.env(name, value));
        run.args(arguments).current_dir(self.folder.path())
    }
}

#[derive(Debug)]
pub struct Gitea {
    pub address: String,
    _server: Server,
    _home: Home,
}

impl Gitea {
    /// With the user `adm`, who has [`PASSWORD`].
    pub fn start(desk: &Desk) -> Result<Self, Skip> {
        let program = PROGRAM.program()?;
        let home = Home::of(desk, "gitea", "nobody")?;
        // That user may not be able to read the cache.
        std::fs::copy(&program, home.at("gitea")).unwrap();
        for folder in PROGRAM.folders {
            copy_writable(&program.with_file_name(folder), home.at(folder).as_ref());
        }
        home.hand_over(desk);
        let (gitea, config) = (home.at("gitea"), home.at("app.ini"));
        let token = home.run(desk, &gitea, &["generate", "secret", "INTERNAL_TOKEN"]).ok().stdout;
        let configure = |port: u16| {
            let folder = home.at("");
            let text = format!(
                "RUN_USER = nobody
WORK_PATH = {folder}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = http://127.0.0.1:{port}/
OFFLINE_MODE = true
DISABLE_SSH = true
STATIC_ROOT_PATH = {folder}
[database]
DB_TYPE = sqlite3
PATH = {folder}gitea.db
[security]
INSTALL_LOCK = true
SECRET_KEY = only-for-this-run
INTERNAL_TOKEN = {token}
[packages]
ENABLED = true
"
            );
            std::fs::write(&config, text).unwrap();
            home.hand_over(desk);
        };
        // The port matters only to `web`.
        configure(0);
        home.run(desk, &gitea, &["--config", &config, "migrate"]).ok();
        let create = home.run(desk, &gitea, &["--config", &config, "admin", "user", "create", "--admin"]);
        let create =
            create.args(&["--username", "adm", "--password", PASSWORD, "--email", "adm@example.com"]);
        create.args(&["--must-change-password=false"]).ok();
        let start = |port| {
            configure(port);
            home.run(desk, &gitea, &["--config", &config, "web"]).server(&desk.path("gitea.log"))
        };
        let ready = |port| answers(&format!("http://127.0.0.1:{port}/v2/"));
        let (server, port) = on_a_free_port("Gitea", Duration::from_mins(3), start, ready);
        Ok(Self { address: format!("127.0.0.1:{port}"), _server: server, _home: home })
    }
}
