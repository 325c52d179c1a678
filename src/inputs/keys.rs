//! Reads keys from files, and pass phrases from a file, the environment or a prompt.

use std::io::IsTerminal;
use std::path::Path;

use zeroize::Zeroizing;

use crate::app::failure::Failure;
use crate::app::{foreign_text, small_file};
use crate::cli::{PassphraseArgs, SignKeyArgs};
use crate::secret::Secret;
use crate::signing::{KeyError, KeyFile, LockedKey, MAX_KEY_FILE, NamedKey, PrivateKey, PublicKey};

const VARIABLE: &str = "AIRGAP_BUNDLE_PASSPHRASE";
/// How often the user is asked for a pass phrase.
const TRIES: usize = 3;

/// The key that `--sign-key` names. A pass phrase without a key is refused, because the bundle would not be signed.
pub(crate) fn signer(args: &SignKeyArgs) -> anyhow::Result<Option<PrivateKey>> {
    if let (None, Some(file)) = (&args.sign_key, &args.passphrase.passphrase_file) {
        let message = format!("`--passphrase-file {}` needs `--sign-key`", file.display());
        return Err(Failure::usage(message).hint("name the private key with --sign-key FILE").into());
    }
    args.sign_key.as_deref().map(|path| private(path, &args.passphrase)).transpose()
}

/// A private key, unlocked.
pub(crate) fn private(path: &Path, passphrase: &PassphraseArgs) -> anyhow::Result<PrivateKey> {
    let bytes = content(path)?;
    let locked = match KeyFile::parse(pem(path, &bytes)?) {
        Ok(KeyFile::Open(key)) => return Ok(key),
        Ok(KeyFile::Locked(locked)) => locked,
        Err(error) => return Err(unusable(path, &error)),
    };
    if let Some(given) = given(passphrase)? {
        return locked.unlock(&given).map_err(|error| unusable(path, &error));
    }
    ask_to_unlock(path, &locked)
}

fn ask_to_unlock(path: &Path, locked: &LockedKey) -> anyhow::Result<PrivateKey> {
    let mut prompt = format!("Pass phrase of {}: ", path.display());
    for _ in 1..TRIES {
        match locked.unlock(&ask(&prompt)?) {
            Err(KeyError::WrongPassphrase) => "Wrong pass phrase; try again: ".clone_into(&mut prompt),
            result => return result.map_err(|error| unusable(path, &error)),
        }
    }
    locked.unlock(&ask(&prompt)?).map_err(|error| unusable(path, &error))
}

/// A pass phrase for a new key.
pub(crate) fn new_passphrase(args: &PassphraseArgs) -> anyhow::Result<Secret> {
    let chosen = if let Some(given) = given(args)? {
        given
    } else {
        let chosen = ask("Pass phrase for the new key: ")?;
        if ask("Repeat it: ")? != chosen {
            return Err(Failure::usage("the two pass phrases differ").into());
        }
        chosen
    };
    if chosen.is_empty() {
        return Err(Failure::usage("the pass phrase is empty")
            .hint("for a key without a pass phrase, use --no-passphrase")
            .into());
    }
    Ok(chosen)
}

/// The public keys in a file; a signature by any of them counts.
pub(crate) fn public(path: &Path) -> anyhow::Result<Vec<NamedKey>> {
    let bytes = content(path)?;
    let keys = PublicKey::parse_all(pem(path, &bytes)?).map_err(|error| unusable(path, &error))?;
    Ok(keys.into_iter().map(|key| NamedKey { name: path.display().to_string(), key }).collect())
}

/// The pass phrase from a flag or the environment, which needs no prompt.
fn given(args: &PassphraseArgs) -> anyhow::Result<Option<Secret>> {
    if let Some(file) = &args.passphrase_file {
        let bytes = content(file)?;
        let text = foreign_text::text(&bytes);
        let text = text.map_err(|error| Failure::unusable(error.of(file).about(file.display())))?;
        return Ok(Some(Secret::new(text.lines().next().unwrap_or_default())));
    }
    match std::env::var(VARIABLE).map(Zeroizing::new) {
        // A file with a secret usually ends with a line break, which is part of the value of the variable.
        Ok(text) => Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n'])))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("{VARIABLE} is not UTF-8")).into())
        }
    }
}

fn ask(prompt: &str) -> anyhow::Result<Secret> {
    let elsewhere = format!("pass it with --passphrase-file FILE or in {VARIABLE}");
    if !std::io::stderr().is_terminal() {
        return Err(Failure::usage("the key needs a pass phrase, but there is no terminal to ask for it")
            .hint(elsewhere)
            .into());
    }
    let asked = rpassword::prompt_password(prompt);
    Ok(Secret::new(
        asked.map_err(|error| Failure::usage(format!("no pass phrase: {error}")).hint(elsewhere))?,
    ))
}

/// A small file that may contain a secret: the buffer is never reallocated, so that no copy remains in memory.
fn content(path: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let refuse = |why: String| Failure::usage(format!("{}: {why}", path.display()));
    let bytes = small_file::named(path, MAX_KEY_FILE).map_err(|error| refuse(error.to_string()))?;
    Ok(Zeroizing::new(bytes))
}

/// The text of the key file at `path`.
fn pem<'a>(path: &Path, bytes: &'a [u8]) -> anyhow::Result<&'a str> {
    let text = foreign_text::pem(bytes);
    Ok(text.map_err(|error| Failure::unusable(error.of(path).about(path.display())))?)
}

fn unusable(path: &Path, error: &KeyError) -> anyhow::Error {
    let failure = Failure::usage(format!("{}: {error}", path.display()));
    match error.hint() {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}
