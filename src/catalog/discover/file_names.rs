//! What the name of a file says, and what the file is called in a command.

/// The names that Kustomize looks for.
pub fn is_kustomization(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    matches!(name, "kustomization.yaml" | "kustomization.yml" | "Kustomization")
}

/// What a file is called in a command. What comes from no file is called by a word.
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
