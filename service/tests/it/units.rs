//! The units for systemd in `examples/`, as systemd itself reads them.

use std::{env, fs, path::Path, process::Command};

use tempfile::TempDir;

#[test]
fn systemd_takes_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        println!("skipped: there is no systemd-analyze here");
        return;
    }
    let folder = TempDir::new().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (name, instance) in
        [("unspool.service", "unspool.service"), ("unspool-stream@.service", "unspool-stream@job.service")]
    {
        let text = fs::read_to_string(examples.join(name)).unwrap();
        // It looks whether the program is there.
        let unit = folder.path().join(instance);
        fs::write(&unit, text.replace("/usr/local/bin/unspool", env!("CARGO_BIN_EXE_unspool"))).unwrap();
        let output = Command::new("systemd-analyze").arg("verify").arg(&unit).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && !said.contains(instance), "{said}");
    }
}
