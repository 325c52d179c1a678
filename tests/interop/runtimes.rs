//! containerd and docker, which load the file without a registry.

use crate::desk::{Desk, Run};
use crate::harness::{PASSED, Skip, Tested, tests};
use crate::processes::Server;
use crate::programs;
use crate::shop::{HOST, Shop, shop};

tests![containerd_imports_the_file, docker_loads_the_file];

/// A containerd of our own.
#[derive(Debug)]
pub struct Containerd<'a> {
    desk: &'a Desk,
    _server: Server,
}

impl<'a> Containerd<'a> {
    pub fn start(desk: &'a Desk) -> Result<Self, Skip> {
        programs::debian(&["containerd", "ctr"])?;
        programs::root("containerd")?;
        let home = desk.at("containerd");
        desk.folder_made("containerd");
        let config = format!(
            r#"version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "{home}/socket"
[ttrpc]
address = "{home}/ttrpc"
"#
        );
        desk.write("containerd.toml", &config);
        let run = desk.run("containerd", &["--config", "containerd.toml"]);
        let mut server = run.server(&desk.path("containerd.log"));
        if !server.comes_up(|| desk.exists("containerd/socket")) {
            return Err(Skip::because(format!("containerd does not run here: {}", server.last_line())));
        }
        Ok(Self { desk, _server: server })
    }

    fn in_namespace(&self, namespace: &str, arguments: &[&str]) -> Run {
        let run = self.desk.run("ctr", &["--address", "containerd/socket", "--namespace", namespace]);
        run.args(arguments)
    }

    pub fn ctr(&self, arguments: &[&str]) -> Run {
        self.in_namespace("k8s.io", arguments)
    }

    /// Every image is there, whole, with the digest of the source.
    pub fn has(&self, shop: &Shop) {
        self.has_in("k8s.io", shop);
    }

    fn has_in(&self, namespace: &str, shop: &Shop) {
        for ware in &shop.wares {
            let name = format!("name=={HOST}/{}", ware.name());
            let checked = self.in_namespace(namespace, &["images", "check", &name]).ok().stdout;
            let words = checked.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains(&format!("{} complete", ware.digest())), "{checked}");
        }
    }
}

/// What K3s and RKE2 do with a file in their images folder.
fn containerd_imports_the_file(desk: &Desk) -> Tested {
    let shop = shop()?;
    let containerd = Containerd::start(desk)?;
    desk.run("zstd", &["-q", "-dc", &shop.file]).into_file(&desk.path("bundle.tar"));
    containerd.ctr(&["images", "import", "--snapshotter", "native", "bundle.tar"]).ok();
    containerd.has(shop);
    let stdin = containerd.in_namespace("streamed", &["images", "import", "--snapshotter", "native", "-"]);
    stdin.fed_by(desk.bundle(&["unpack", &shop.file, "-o", "-"]));
    containerd.has_in("streamed", shop);
    containerd.in_namespace("default", &["images", "import", &shop.file]).ends(1);
    PASSED
}

fn docker_loads_the_file(desk: &Desk) -> Tested {
    let shop = shop()?;
    programs::debian(&["dockerd", "docker"])?;
    programs::root("dockerd")?;
    let host = format!("unix://{}", desk.at("docker/socket"));
    desk.folder_made("docker");
    let place = |name: &str| desk.at(&format!("docker/{name}"));
    let run =
        desk.run("dockerd", &["--data-root", &place("root"), "--exec-root", &place("exec"), "--host", &host]);
    let run =
        run.args(&["--pidfile", &place("pid"), "--iptables=false", "--ip6tables=false", "--bridge=none"]);
    let mut server = run.args(&["--storage-driver", "vfs"]).server(&desk.path("docker.log"));
    let docker = |arguments: &[&str]| desk.run("docker", &["--host", &host]).args(arguments);
    if !server.comes_up(|| docker(&["version"]).ran().code == 0) {
        return Err(Skip::because(format!("dockerd does not run here: {}", server.last_line())));
    }
    docker(&["load"]).fed_by(desk.bundle(&["unpack", &shop.file, "-o", "-"]));
    for ware in &shop.wares {
        docker(&["image", "inspect", "--format", "{{.Id}}", &format!("{HOST}/{}", ware.name())]).ok();
    }
    docker(&["load", "-i", &shop.file]).ends(1);
    PASSED
}
