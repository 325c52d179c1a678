//! File names: those with a meaning, and how a file is named in a command.

/// The names that Kustomize looks for.
pub fn is_kustomization(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, "kustomization.yaml" | "kustomization.yml" | "Kustomization")
}

/// The name of a file in a command. Input that is not from a file is named by a word.
pub(super) fn file_of(name: &str) -> &str {
    if name.contains(['.', '/']) || is_kustomization(name) { name } else { "FILE" }
}

/// The folder of a file.
pub(super) fn folder_of(file: &str) -> &str {
    match file_of(file).rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None if file_of(file) == "FILE" => "DIR",
        None => ".",
    }
}
