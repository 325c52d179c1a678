//! podman with a store of its own. One at a time: stores of one user share locks in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use crate::desk::{Desk, Run};
use crate::harness::Skip;
use crate::processes::root;
use crate::programs;

#[derive(Debug)]
pub struct Podman<'a> {
    desk: &'a Desk,
    /// podman allows 50 characters for its path.
    run: TempDir,
    _one: MutexGuard<'static, ()>,
}

impl<'a> Podman<'a> {
    pub fn here(desk: &'a Desk) -> Result<Self, Skip> {
        static ONE: Mutex<()> = Mutex::new(());
        programs::debian(&["podman"])?;
        programs::root("podman with its own storage")?;
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self { desk, run: TempDir::with_prefix_in("run-", root()).unwrap(), _one: one })
    }

    pub fn run(&self, arguments: &[&str]) -> Run {
        let place = |name: &str| self.desk.at(&format!("podman/{name}"));
        let run = self
            .desk
            .run("podman", &["--root", &place("root"), "--runroot", &self.run.path().to_string_lossy()]);
        let run = run.args(&["--tmpdir", &place("tmp"), "--storage-driver", "vfs"]);
        run.args(&["--cgroup-manager", "cgroupfs", "--events-backend", "none"]).args(arguments)
    }

    pub fn pull(&self, image: &str) -> Run {
        self.run(&["pull", "-q", "--signature-policy", "policy.json", image])
    }

    /// The same from a registry that speaks plain HTTP.
    pub fn pull_plainly(&self, image: &str) -> Run {
        self.run(&["pull", "-q", "--tls-verify=false", "--signature-policy", "policy.json", image])
    }
}
