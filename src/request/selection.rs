//! `--only…`, `--skip…`, `--add`: selects rows of the catalogs, and adds images.

use std::collections::BTreeSet;
use std::path::Path;

use super::catalogs;
use super::charts::{self, is_packed};
use super::resolved_request::ResolvedRequest;
use crate::app::failure::Failure;
use crate::archive::manifest::EntryRecord;
use crate::catalog::{Format, SourceRewrite};
use crate::cli::SelectionArgs;
use crate::image::{Reference, glob, matches};

impl ResolvedRequest {
    /// Adds the images of `--add`, which are in no catalog.
    pub(crate) fn add(&mut self, images: &[String], rewrites: &[SourceRewrite]) -> anyhow::Result<()> {
        for image in images {
            if is_packed(image) {
                let name = charts::name_of(Path::new(image))?;
                self.one_more(&name.to_string(), rewrites)?;
                charts::pack(self, &name, Path::new(image))?;
            } else {
                self.one_more(image, rewrites)?;
            }
        }
        Ok(())
    }

    fn one_more(&mut self, image: &str, rewrites: &[SourceRewrite]) -> anyhow::Result<()> {
        let usage = |error: &dyn std::fmt::Display| Failure::usage(format!("--add {image}: {error}"));
        let catalog = crate::catalog::parse(image.as_bytes(), Some(Format::List)).map_err(|e| usage(&e))?;
        let mut resolved = catalog.resolve(&[]).map_err(|e| usage(&e))?;
        resolved.rewrite_sources(rewrites).map_err(|e| usage(&e))?;
        self.added.extend(resolved.images.iter().map(|image| image.reference.clone()));
        let is_there = |name: &Reference| self.request.images.iter().any(|wanted| wanted.name == *name);
        if !resolved.images.iter().all(|image| is_there(&image.reference)) {
            self.labels.extend(resolved.entries.iter().map(|_| Vec::new()));
            catalogs::add(&mut self.request, resolved, "", "").map_err(|e| usage(&e))?;
        }
        Ok(())
    }

    /// Keeps the selected rows and those of `--add`; an image stays as long as one of its rows does.
    pub(crate) fn select(&mut self, args: &SelectionArgs) -> anyhow::Result<()> {
        if args.chooses_nothing() {
            return Ok(());
        }
        let mut keep = vec![false; self.request.catalog.entries.len()];
        for wanted in &self.request.images {
            for at in wanted.entries.iter().map(|at| *at as usize) {
                let labels = self.labels.get(at).map_or(&[][..], Vec::as_slice);
                let row = &self.request.catalog.entries[at];
                keep[at] = self.added.contains(&wanted.name) || args.chooses(&wanted.name, row, labels);
            }
        }
        self.check_words(args)?;
        self.keep(&keep);
        if self.request.images.is_empty() {
            return Err(Failure::usage("no row of the catalog matches all of --only… and --skip…").into());
        }
        Ok(())
    }

    /// A pattern that matches nothing is probably a typing error, and images that the user needs would be missing.
    fn check_words(&self, args: &SelectionArgs) -> anyhow::Result<()> {
        let names: Vec<String> = self.request.images.iter().map(|wanted| wanted.name.to_string()).collect();
        let column = |of: fn(&EntryRecord) -> &str| -> BTreeSet<&str> {
            self.request.catalog.entries.iter().map(of).filter(|text| !text.is_empty()).collect()
        };
        let (charts, components) = (column(|entry| &entry.chart), column(|entry| &entry.component));
        let labels: BTreeSet<&str> = self.labels.iter().flatten().map(String::as_str).collect();
        for (flag, patterns, known) in [
            ("--only-chart", &args.rows.only_chart, &charts),
            ("--only-component", &args.rows.only_component, &components),
            ("--only-label", &args.only_label, &labels),
        ] {
            if let Some(lost) = patterns.iter().find(|pattern| !known.iter().any(|text| glob(pattern, text)))
            {
                let known: Vec<&str> = known.iter().copied().collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(
                    Failure::usage(format!("{flag} {lost} matches nothing (available: {known})")).into()
                );
            }
        }
        for (flag, patterns) in [("--only", &args.rows.only), ("--skip", &args.rows.skip)] {
            let fits = |pattern: &String| {
                let pattern = std::slice::from_ref(pattern);
                self.request.images.iter().any(|wanted| matches(pattern, &wanted.name))
            };
            if let Some(lost) = patterns.iter().find(|pattern| !fits(pattern)) {
                return Err(Failure::usage(format!("{flag} {lost} matches none of {} images", names.len()))
                    .hint("use * and ? as in a shell; list the images with bundle catalog show")
                    .into());
            }
        }
        Ok(())
    }

    fn keep(&mut self, keep: &[bool]) {
        let mut places = Vec::with_capacity(keep.len());
        let mut next = 0;
        for kept in keep {
            places.push(kept.then_some(next));
            next += u32::from(*kept);
        }
        let mut flags = keep.iter();
        self.request.catalog.entries.retain(|_| *flags.next().unwrap_or(&false));
        let mut flags = keep.iter();
        self.labels.retain(|_| *flags.next().unwrap_or(&false));
        for wanted in &mut self.request.images {
            let kept = wanted.entries.iter().filter_map(|at| places.get(*at as usize).copied().flatten());
            wanted.entries = kept.collect();
        }
        self.request.images.retain(|wanted| !wanted.entries.is_empty());
    }
}

impl SelectionArgs {
    fn chooses_nothing(&self) -> bool {
        let all = [
            &self.rows.only,
            &self.rows.skip,
            &self.rows.only_chart,
            &self.rows.only_component,
            &self.only_label,
            &self.skip_label,
        ];
        all.iter().all(|patterns| patterns.is_empty())
    }

    fn chooses(&self, name: &Reference, row: &EntryRecord, labels: &[String]) -> bool {
        let fits = |patterns: &[String], text: &str| patterns.iter().any(|pattern| glob(pattern, text));
        let has = |wanted: &[String]| labels.iter().any(|label| fits(wanted, label));
        matches(&self.rows.only, name)
            && (self.rows.skip.is_empty() || !matches(&self.rows.skip, name))
            && (self.rows.only_chart.is_empty() || fits(&self.rows.only_chart, &row.chart))
            && (self.rows.only_component.is_empty() || fits(&self.rows.only_component, &row.component))
            && (self.only_label.is_empty() || has(&self.only_label))
            && !has(&self.skip_label)
    }
}
