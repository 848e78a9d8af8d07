//! `unspool completions` and `unspool man`: what shells and man know of the command line, made from the command line itself.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell as Known;

use crate::{
    args::Cli,
    error::{Error, Result},
    print,
};

/// `unspool completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that will read them
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// Bash, with the package bash-completion
    Bash,
    /// Zsh
    Zsh,
    /// fish
    Fish,
}

/// `unspool man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder to write to; it is made if it is not there
    pub(crate) dir: PathBuf,
}

/// What `unspool completions --help` says after the options.
pub(crate) const COMPLETIONS_HELP: &str = "Examples:
  source <(unspool completions bash)                                          # in this shell
  unspool completions bash > ~/.local/share/bash-completion/completions/unspool
  unspool completions zsh > ~/.zfunc/_unspool                                 # with fpath=(~/.zfunc $fpath) before compinit
  unspool completions fish > ~/.config/fish/completions/unspool.fish";

/// What `unspool man --help` says after the options.
pub(crate) const MAN_HELP: &str = "Examples:
  unspool man ~/.local/share/man/man1
  man unspool-forecast";

/// Prints a shell's completions.
///
/// # Errors
/// When standard output refuses.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<()> {
    let known = match args.shell {
        Shell::Bash => Known::Bash,
        Shell::Zsh => Known::Zsh,
        Shell::Fish => Known::Fish,
    };
    let mut text = vec![];
    clap_complete::generate(known, &mut Cli::command(), "unspool", &mut text);
    print(String::from_utf8_lossy(&text).trim_end())
}

/// Writes a man page for each command.
///
/// # Errors
/// When the folder cannot be made or written to.
pub(crate) fn man(args: &ManArgs) -> Result<()> {
    let failed = |source| Error::Io { path: args.dir.clone(), source };
    fs::create_dir_all(&args.dir).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), &args.dir).map_err(failed)
}
