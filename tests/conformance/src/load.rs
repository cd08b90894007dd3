//! Reads the case files of a directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::case::{Case, CaseError};

/// Why the cases cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The directory.
    #[error("{path}: {source}")]
    Read {
        /// What could not be read.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is nothing to play.
    #[error("{0}: there is no .yaml file in it")]
    Empty(String),
    /// One or more files are no cases.
    #[error("{}", lines(.0))]
    Cases(Vec<(String, CaseError)>),
}

fn lines(wrong: &[(String, CaseError)]) -> String {
    let lines: Vec<String> = wrong.iter().map(|(file, error)| format!("{file}: {error}")).collect();
    lines.join("\n")
}

/// All cases below a directory, by id: the path of the file below the directory, without `.yaml`.
pub fn cases(directory: &Path) -> Result<Vec<Case>, LoadError> {
    let mut files = Vec::new();
    find(directory, &mut files)?;
    files.sort();
    if files.is_empty() {
        return Err(LoadError::Empty(directory.display().to_string()));
    }
    let (mut cases, mut wrong) = (Vec::new(), Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).map_err(|source| read_error(&file, source))?;
        let below = file.strip_prefix(directory).unwrap_or(&file).with_extension("");
        match Case::parse(&below.display().to_string(), &text) {
            Ok(case) => cases.push(case),
            Err(error) => wrong.push((file.display().to_string(), error)),
        }
    }
    if wrong.is_empty() { Ok(cases) } else { Err(LoadError::Cases(wrong)) }
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), LoadError> {
    for entry in fs::read_dir(directory).map_err(|source| read_error(directory, source))? {
        let path = entry.map_err(|source| read_error(directory, source))?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

fn read_error(path: &Path, source: io::Error) -> LoadError {
    LoadError::Read { path: path.display().to_string(), source }
}
