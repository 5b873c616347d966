//! CPU time of a process group, to the nanosecond: ticks of /proc/N/stat are 10 ms.

use std::fs;

/// CPU seconds of all threads of all processes of a group, by its number.
pub fn of_group(group: u32) -> anyhow::Result<f64> {
    let mut nanoseconds = 0.0;
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Ok(stat) = fs::read_to_string(path.join("stat")) else {
            continue;
        };
        // The name before it may hold blanks; the group is the third field behind it.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        if fields.split(' ').nth(2) != Some(&group.to_string()) {
            continue;
        }
        for thread in fs::read_dir(path.join("task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
            let on_cpu = text.split(' ').next().and_then(|first| first.parse().ok());
            nanoseconds += on_cpu.unwrap_or(0.0);
        }
    }
    Ok(nanoseconds / 1e9)
}
