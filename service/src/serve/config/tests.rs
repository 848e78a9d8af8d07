use std::fs;

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::{
    args::{Cli, Command},
    pages,
};

/// The configuration of what was typed and of a file, or the complaint.
fn config(arguments: &str, file: &str) -> Result<Config, String> {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("unspool.toml");
    fs::write(&path, file).expect("writes");
    let file = format!("--config {}", path.display());
    let words = format!("unspool serve {arguments} {file}");
    let cli = Cli::try_parse_from(words.split_whitespace()).map_err(|e| e.to_string())?;
    let Some(Command::Serve(args)) = cli.command else { panic!("serve") };
    Config::new(*args).map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let check = |arguments: &str, file: &str, expected: &str| {
        let found = config(arguments, file).expect("fits");
        assert_eq!(found.listen.to_string(), expected, "{arguments}, {file}");
    };
    check("", "", "127.0.0.1:50051");
    check("", "listen = '127.0.0.1:1'", "127.0.0.1:1");
    check("--listen [::1]:2", "listen = '127.0.0.1:1'", "[::1]:2");
}

#[test]
fn where_models_run() {
    let check = |arguments: &str, file: &str, expected: (&str, &str)| {
        let found = config(arguments, file).expect("fits");
        let options = found.run_options();
        assert_eq!((options.device.to_string(), options.weights.to_string()), (expected.0.into(), expected.1.into()));
        let described = found.describe();
        assert!(
            described.contains(&format!("device         {}\nweights        {}", expected.0, expected.1)),
            "{described}"
        );
    };
    check("", "", ("auto", "f32"));
    check("", "device = 'cuda'\nweights = 'bf16'", ("cuda:0", "bf16"));
    check("--device cuda:3 --weights f32", "device = 'cpu'\nweights = 'bf16'", ("cuda:3", "f32"));
    let found = config("", "[limits]\ngpu_state_bytes = 1024").expect("fits");
    assert_eq!(found.run_options().pool_bytes, Some(1024));
}

#[test]
fn paths_in_a_file_are_relative_to_it() {
    let found = config("", "data_dir = 'sessions'").expect("fits");
    let data_dir = found.data_dir.expect("given");
    assert!(data_dir.is_absolute() && data_dir.ends_with("sessions"), "{}", data_dir.display());
}

#[test]
fn what_does_not_go_together_is_refused_with_a_remedy() {
    let check = |arguments: &str, file: &str, expected: &str| {
        let problem = config(arguments, file).expect_err("refused");
        assert!(problem.contains(expected), "{arguments}, {file}: {problem}");
    };
    check("", "listen = 7", "unspool.toml, line 1: invalid type");
    check("", "\nlisten_on = 'x'", "unspool.toml, line 2: unknown field `listen_on`");
    check("", "device = 'gpu'", "unspool.toml, line 1: 'gpu' is no device: auto, cpu, cuda or cuda:N is wanted");
    check("--weights f16", "", "'f16' is no type of weights: f32 or bf16 is wanted");
    check("", "[limits]\ngpu_state_bytes = 0", "limits.gpu_state_bytes: 1 or more");
    check("", "[limits]\nhorizon = 0", "limits.horizon: 1 or more");
    check("", "[limits]\ntenant_percent = 101", "limits.tenant_percent: 1 to 100");
    check("", "[limits]\nsession_ttl_s = 1", "default_session_ttl_s is more than");
    check("--listen 0.0.0.0:1", "", "in plain text: give --tls-cert and --tls-key, listen on 127.0.0.1, or say");
    check("--listen 0.0.0.0:1 --tls-cert a --tls-key b", "", "for everyone: give [[tenants]]");
    check("--tls-cert a", "", "--tls-key");
    let tenants = |name: &str, tokens: &str| format!("[[tenants]]\nname = '{name}'\ntoken_sha256 = [{tokens}]");
    let hash = format!("'{}'", "ab".repeat(32));
    check("", &tenants("", &hash), "is no name");
    check("", &tenants("a", ""), "has no token_sha256");
    check("", &tenants("a", "'secret'"), "not 64 hexadecimal digits");
    check("", &tenants("a", &format!("'{}'", "+1".repeat(32))), "not 64 hexadecimal digits");
    check("", &tenants("a", &format!("{hash}, {hash}")), "given twice");
    check("", &format!("{}\n{}", tenants("a", &hash), tenants("a", &hash)), "named twice");
    check("", &format!("{}\nrequests_per_s = 0.0", tenants("a", &hash)), "requests_per_s must be more than 0");
}

#[test]
fn insecure_is_possible_if_asked_for() {
    for (arguments, file) in [
        ("--listen 0.0.0.0:1 --allow-insecure", ""),
        ("--listen 0.0.0.0:1", "allow_insecure = true"),
        ("--listen 0.0.0.0:1 --tls-cert a --tls-key b --tls-client-ca c", ""),
    ] {
        config(arguments, file).expect("asked for");
    }
}

#[test]
fn tenants_are_known_by_their_tokens_alone() {
    // SHA-256 of "secret" and of "other"
    let secret = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let other = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";
    let file = format!(
        "[[tenants]]\nname = 'a'\ntoken_sha256 = ['{secret}']\n[[tenants]]\nname = 'b'\nadmin = true\ntoken_sha256 = ['{other}']"
    );
    let config = config("", &file).expect("fits");
    let check = |header: Option<&str>, expected: Option<&str>| {
        let found = config.tenants.find(header);
        assert_eq!(found.as_ref().map(|tenant| tenant.name.as_str()), expected, "{header:?}");
    };
    check(Some("Bearer secret"), Some("a"));
    check(Some("bearer other"), Some("b"));
    for nobody in
        [None, Some(""), Some("secret"), Some("Basic secret"), Some("Bearer "), Some("Bearer wrong"), Some(secret)]
    {
        check(nobody, None);
    }
    let described = config.describe();
    assert!(described.contains("a, b") && !described.contains(secret), "{described}");
}

#[test]
fn the_page_for_operators_knows_every_limit() {
    const HEADING: &str = "A server: `[limits]` of its file";
    let usual = config("", "").expect("fits").limits;
    let said = config("", &pages::file(HEADING, "limits").to_string()).expect("the page's names are the file's").limits;
    assert_eq!(format!("{said:?}"), format!("{usual:?}"));
    assert_eq!(pages::rows(HEADING).len(), format!("{usual:?}").matches(": ").count(), "none is left out");
}

#[test]
fn the_file_that_the_help_shows_is_understood() {
    let shown = crate::serve::HELP.split("unspool.toml, each").nth(1).expect("shows one");
    let lines: String =
        shown.lines().skip(1).take_while(|line| line.starts_with("  ")).map(|l| format!("{l}\n")).collect();
    let file: File = toml::from_str(&lines).expect("is understood");
    assert_eq!((file.limits.sessions, file.tenants.len()), (Some(1_000_000), 1));
}
