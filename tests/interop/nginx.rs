//! nginx in front of a registry or a directory, on a free port. All its files are in the desk's directory.

use std::time::Duration;

use crate::desk::Desk;
use crate::processes::{Server, listens, on_a_free_port};

#[derive(Debug)]
pub struct Nginx {
    pub address: String,
    _server: Server,
}

/// Directives that pass requests on to a registry.
pub fn pass_to(registry: &str) -> String {
    format!(
        "location / {{ proxy_pass http://{registry}; proxy_set_header Host $http_host; \
         proxy_set_header X-Forwarded-Proto $scheme; }}"
    )
}

impl Nginx {
    /// A server with these lines. `options` stand after its port: `ssl`, `http2`.
    pub fn start(desk: &Desk, options: &str, lines: &str) -> Self {
        let start = |port| started(desk, port, options, lines);
        let (server, port) = on_a_free_port("nginx", Duration::from_mins(1), start, |port| is_up(desk, port));
        Self { address: format!("127.0.0.1:{port}"), _server: server }
    }

    /// The same on a given port, for services whose settings contain it.
    pub fn start_at(desk: &Desk, port: u16, options: &str, lines: &str) -> Self {
        let mut server = started(desk, port, options, lines);
        server.until("nginx", || is_up(desk, port));
        Self { address: format!("127.0.0.1:{port}"), _server: server }
    }

    /// The number of requests in its log whose line contains `part`.
    pub fn requests_with(desk: &Desk, part: &str) -> usize {
        desk.read("nginx/access.log").lines().filter(|line| line.contains(part)).count()
    }
}

fn is_up(desk: &Desk, port: u16) -> bool {
    desk.exists("nginx/pid") && listens(port)
}

fn started(desk: &Desk, port: u16, options: &str, lines: &str) -> Server {
    let folder = desk.folder_made("nginx");
    let folder = folder.display();
    desk.remove("nginx/pid");
    let config = format!(
        "daemon off; user root; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    server {{
        listen 127.0.0.1:{port} {options};
        {lines}
    }}
}}
"
    );
    desk.write("nginx.conf", &config);
    desk.run("nginx", &["-c", &desk.at("nginx.conf")]).server(&desk.path("nginx.log"))
}
