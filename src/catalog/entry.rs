//! One image of a catalog, as it is written down.

use super::template::Template;

/// One image of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The line in the catalog, counted from 1.
    pub line: u64,
    pub chart: Option<String>,
    pub component: Option<String>,
    /// The name the chart uses.
    pub image: Template,
    /// Where it is pulled from, in this order, instead of its name.
    pub sources: Vec<Template>,
    /// A packed chart on this machine, of which the artifact `image` is made.
    pub archive: Option<String>,
    /// Value paths of the chart. The first of `tag_paths` is the image's own; each falls back to the next.
    pub registry_path: Option<String>,
    pub repository_path: Option<String>,
    pub tag_paths: Vec<String>,
    pub digest_path: Option<String>,
    pub note: Option<String>,
    pub labels: Vec<String>,
}

impl Entry {
    /// Whether a chart uses it, so that values of the chart can set its registry.
    pub fn is_of_a_chart(&self) -> bool {
        let paths = self.registry_path.iter().chain(&self.repository_path).chain(&self.tag_paths);
        self.chart.is_some() || paths.count() > 0
    }
}
