//! What there is to say of an import from another tool's layout: its oddities, and platforms that were taken alone.

use super::import::Run;
use super::run_report::RunReport;

impl Run<'_> {
    /// Notes in the report which platforms were taken alone, and says what else there is to know; how much was said.
    pub(super) fn begin_layout(&self, report: &mut RunReport) -> usize {
        report.note_chosen(self.holdings.chosen());
        self.tell_notes(0)
    }

    /// Says what there is to know of the archive, without what was `said` before; how much there is.
    pub(super) fn tell_notes(&self, said: usize) -> usize {
        let notes = self.holdings.notes();
        for note in notes.iter().skip(said) {
            self.session.reporter.warn(&format!("{}: {note}", self.holdings.name()));
        }
        notes.len()
    }
}
