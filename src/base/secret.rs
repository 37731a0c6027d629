//! Secrets, and references to them.
//!
//! A secret has no `Debug`, no `Display` and no `Clone`, and is wiped when it
//! is dropped. Configuration never holds one: it holds a reference.

use std::{env, fmt, io, path::PathBuf, str::FromStr};

use zeroize::Zeroizing;

/// Bytes that must not be printed, logged or left in memory.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of the bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the one use at hand.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// Where a secret is: `env:NAME` or `file:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// The value of an environment variable.
    Env(String),
    /// The content of a file; one trailing newline is not part of it.
    File(PathBuf),
}

impl SecretRef {
    /// Reads the secret.
    pub fn resolve(&self) -> io::Result<Secret> {
        let mut bytes = match self {
            Self::Env(name) => env::var(name)
                .map_err(|_| {
                    io::Error::new(
                        io::ErrorKind::NotFound,
                        format!("environment variable {name} is not set"),
                    )
                })?
                .into_bytes(),
            Self::File(path) => std::fs::read(path).map_err(|fault| {
                io::Error::new(fault.kind(), format!("{}: {fault}", path.display()))
            })?,
        };
        // The line break that an editor leaves behind text. Random bytes may
        // well end like that, and then it is part of them.
        if let [text @ .., b'\n'] = &bytes[..]
            && text.iter().all(|byte| matches!(byte, b' '..=b'~'))
        {
            bytes.pop();
        }
        if bytes.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{self} is empty"),
            ));
        }
        Ok(Secret::new(bytes))
    }
}

impl FromStr for SecretRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err("a secret is given by reference: env:NAME or file:PATH"),
        }
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_references_are_read() {
        assert_eq!("env:KEY".parse(), Ok(SecretRef::Env("KEY".into())));
        assert_eq!(
            "file:/run/key".parse(),
            Ok(SecretRef::File("/run/key".into()))
        );
        for wrong in ["hunter2", "env:", "file:", "vault:x", ""] {
            assert!(wrong.parse::<SecretRef>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_missing_or_empty_secret_is_an_error() {
        assert!(
            SecretRef::Env("ASSAY_NO_SUCH_VARIABLE".into())
                .resolve()
                .is_err()
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        let reference = SecretRef::File(file.path().into());
        assert!(reference.resolve().is_err());
        std::fs::write(file.path(), "key\n").unwrap();
        assert_eq!(reference.resolve().unwrap().expose(), b"key");
    }

    #[test]
    fn random_bytes_keep_what_looks_like_a_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut key = [0x91; 32];
        key[31] = b'\n';
        std::fs::write(file.path(), key).unwrap();
        let reference = SecretRef::File(file.path().into());
        assert_eq!(reference.resolve().unwrap().expose(), key);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let fault = SecretRef::File("/nowhere/key".into())
            .resolve()
            .err()
            .unwrap();
        assert!(fault.to_string().contains("/nowhere/key"), "{fault}");
    }
}
