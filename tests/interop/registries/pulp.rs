//! Pulp: pulpcore and pulp-container with `PostgreSQL` and Redis, behind nginx.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::PASSWORD;
use super::gitea::Home;
use crate::desk::{Desk, Run};
use crate::harness::Skip;
use crate::look::{answers, is_fine};
use crate::nginx::Nginx;
use crate::processes::{Server, free_port, listens, on_a_free_port, until};
use crate::programs;

/// The order of the fields is the order in which the processes stop.
#[derive(Debug)]
pub struct Pulp {
    pub address: String,
    _nginx: Nginx,
    _services: Vec<Server>,
    _redis: Server,
    _database: Server,
    _home: Home,
}

/// The directory of `PostgreSQL`'s programs, which Debian does not put into the `PATH`.
fn postgresql() -> Result<PathBuf, Skip> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.retain(|folder| folder.join("initdb").is_file());
    folders.sort();
    folders.pop().ok_or_else(|| Skip::because("no PostgreSQL here"))
}

fn python() -> Result<&'static str, Skip> {
    let has_venv = |python: &&str| {
        Command::new(python).args(["-c", "import venv"]).output().is_ok_and(|output| output.status.success())
    };
    let newest = ["python3.13", "python3.12", "python3.11"].into_iter().find(has_venv);
    newest.ok_or_else(|| Skip::because("no Python 3.11 or newer here"))
}

/// A server that is ready when it listens.
fn listening(what: &str, start: impl Fn(u16) -> Server) -> (Server, u16) {
    on_a_free_port(what, Duration::from_mins(1), start, listens)
}

impl Pulp {
    /// With the user `adm`, who has [`PASSWORD`].
    pub fn start(desk: &Desk) -> Result<Self, Skip> {
        programs::debian(&["nginx"])?;
        programs::optional(&["redis-server"])?;
        let (postgresql, python) = (postgresql()?, python()?);
        let works = |home: &std::path::Path| home.join("bin/pulpcore-api").is_file();
        let packages = ["pulpcore==3.123.1", "pulp-container==2.30.0"];
        let venv = programs::python("pulp-3.123.1-2.30.0", python, &packages, works)?.join("bin");
        let home = Home::of(desk, "pulp", "postgres")?;

        let (postgres, data) =
            (|name: &str| postgresql.join(name).to_string_lossy().into_owned(), home.at("data"));
        home.run(desk, &postgres("initdb"), &["-D", &data, "-A", "trust", "-E", "UTF8"]).ok();
        let (database, database_port) = listening("PostgreSQL", |port| {
            let run = home.run(
                desk,
                &postgres("postgres"),
                &["-D", &data, "-p", &port.to_string(), "-h", "127.0.0.1"],
            );
            run.args(&["-k", &home.at("")]).server(&desk.path("postgres.log"))
        });
        let psql = |statement: &str| {
            let run = home.run(
                desk,
                "psql",
                &["-h", "127.0.0.1", "-p", &database_port.to_string(), "-d", "postgres"],
            );
            run.args(&["-c", statement])
        };
        until("PostgreSQL takes statements", || psql("select 1").ran().code == 0);
        psql("create database pulp").ok();
        let (redis, redis_port) = listening("Redis", |port| {
            let run =
                desk.run("redis-server", &["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
            run.server(&desk.path("redis.log"))
        });

        // Pulp's settings contain this port, so it cannot be changed later.
        let port = free_port();
        configure(desk, port, database_port, redis_port);
        let path = std::env::var("PATH").unwrap_or_default();
        let run = |program: &str, arguments: &[&str]| -> Run {
            let run =
                desk.run(venv.join(program), arguments).env("PULP_SETTINGS", &desk.at("pulp/settings.py"));
            let run = run.env("DJANGO_SETTINGS_MODULE", "pulpcore.app.settings");
            run.env("PATH", &format!("{}:{path}", venv.display()))
        };
        run("pulpcore-manager", &["migrate"]).ok();
        run("pulpcore-manager", &["reset-admin-password", "--password", PASSWORD]).ok();
        let user = format!(
            "from django.contrib.auth import get_user_model\n\
             get_user_model().objects.create_superuser('adm', password='{PASSWORD}')"
        );
        run("pulpcore-manager", &["shell", "-c", &user]).ok();

        let log = |name: &str| desk.path(&format!("{name}.log"));
        let service = |name: &str, port: u16| {
            let bind = format!("127.0.0.1:{port}");
            run(&format!("pulpcore-{name}"), &["--bind", &bind, "--workers", "2"]).server(&log(name))
        };
        let up = Duration::from_mins(3);
        let (api, api_port) = on_a_free_port(
            "Pulp",
            up,
            |port| service("api", port),
            |port| is_fine(&format!("http://127.0.0.1:{port}/pulp/api/v3/status/")),
        );
        let (content, content_port) =
            on_a_free_port("Pulp's content", up, |port| service("content", port), listens);
        let workers = ["worker1", "worker2"].map(|name| run("pulpcore-worker", &[]).server(&log(name)));
        let lines = format!(
            "client_max_body_size 0; proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto $scheme; proxy_redirect off;
        location /pulp/container/ {{ proxy_pass http://127.0.0.1:{content_port}; }}
        location /pulp/content/ {{ proxy_pass http://127.0.0.1:{content_port}; }}
        location / {{ proxy_pass http://127.0.0.1:{api_port}; }}"
        );
        let nginx = Nginx::start_at(desk, port, "", &lines);
        until("Pulp behind nginx", || answers(&format!("http://{}/v2/", nginx.address)));
        let services = [api, content].into_iter().chain(workers).collect();
        let address = nginx.address.clone();
        Ok(Self {
            address,
            _nginx: nginx,
            _services: services,
            _redis: redis,
            _database: database,
            _home: home,
        })
    }
}

/// `pulp/settings.py`, and the folders and the key it names.
fn configure(desk: &Desk, port: u16, database_port: u16, redis_port: u16) {
    for folder in ["media", "tmp", "static", "import", "export"] {
        desk.folder_made(&format!("pulp/{folder}"));
    }
    desk.line("openssl rand -base64 -out pulp/key 32").ok();
    let pulp = desk.at("pulp");
    let settings = format!(
        r#"DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": "pulp", "USER": "postgres", "HOST": "127.0.0.1", "PORT": "{database_port}"}}}}
CACHE_ENABLED = True
REDIS_HOST = "127.0.0.1"
REDIS_PORT = {redis_port}
DEPLOY_ROOT = "{pulp}"
MEDIA_ROOT = "{pulp}/media"
STATIC_ROOT = "{pulp}/static"
WORKING_DIRECTORY = "{pulp}/tmp"
FILE_UPLOAD_TEMP_DIR = "{pulp}/tmp"
DB_ENCRYPTION_KEY = "{pulp}/key"
SECRET_KEY = "only-for-this-run"
CONTENT_ORIGIN = "http://127.0.0.1:{port}"
ALLOWED_HOSTS = ["*"]
TOKEN_AUTH_DISABLED = True
"#
    );
    desk.write("pulp/settings.py", &settings);
}
