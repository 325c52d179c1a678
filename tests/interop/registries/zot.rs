//! zot 1.4.3, the last version that is available as a Go module.

use std::time::Duration;

use serde_json::json;

use crate::desk::Desk;
use crate::harness::Skip;
use crate::look::is_fine;
use crate::processes::{Server, on_a_free_port};
use crate::programs::GoBuild;

const PROGRAM: GoBuild = GoBuild {
    name: "zot",
    module: "github.com/project-zot/zot@v1.4.3",
    package: "./cmd/zot",
    tags: "containers_image_openpgp",
    cgo: "0",
    folders: &[],
};

#[derive(Debug)]
pub struct Zot {
    pub address: String,
    _server: Server,
}

impl Zot {
    pub fn start(desk: &Desk) -> Result<Self, Skip> {
        let program = PROGRAM.program()?;
        let start = |port: u16| {
            let config = json!({
                "storage": { "rootDirectory": desk.at("zot.data") },
                "http": { "address": "127.0.0.1", "port": port.to_string() },
                "log": { "level": "info" },
            });
            desk.write("zot.json", &config.to_string());
            desk.run(&program, &["serve", "zot.json"]).server(&desk.path("zot.log"))
        };
        let ready = |port| is_fine(&format!("http://127.0.0.1:{port}/v2/"));
        let (server, port) = on_a_free_port("zot", Duration::from_mins(1), start, ready);
        Ok(Self { address: format!("127.0.0.1:{port}"), _server: server })
    }
}
