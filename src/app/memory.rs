//! How much memory this program may still take.

use std::path::Path;

/// Bytes of memory that are available, by the system and by the limit of the control group; none if neither says it.
pub(crate) fn available() -> Option<u64> {
    let system = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| of_meminfo(&text));
    let group = std::fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| of_group(&text));
    system.into_iter().chain(group).min()
}

/// `MemAvailable`, which counts what the system can free (proc(5)).
fn of_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// What is left of `memory.max` of this control group (cgroup v2); none without a limit.
fn of_group(text: &str) -> Option<u64> {
    let group = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let folder = Path::new("/sys/fs/cgroup").join(group.trim_start_matches('/'));
    let number = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    Some(number("memory.max")?.saturating_sub(number("memory.current")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo() {
        let text = "MemTotal:       24576000 kB\nMemFree:          100 kB\nMemAvailable:   20480 kB\n";
        assert_eq!(of_meminfo(text), Some(20480 * 1024));
        assert_eq!(of_meminfo("MemTotal: 1 kB\n"), None);
        assert_eq!(of_meminfo("MemAvailable: many\n"), None);
    }
}
