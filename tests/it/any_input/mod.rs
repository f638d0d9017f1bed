//! Properties that must hold for any input, one check per file. The fuzz targets in `fuzz/` run the
//! checks on generated inputs; the tests here, which need no nightly compiler, run them on inputs
//! found by fuzzing and on random ones.

mod chopped;
pub(crate) mod differential;
pub(crate) mod disposition;
pub(crate) mod event;
pub(crate) mod form;
pub(crate) mod media;
mod reference_form;
pub(crate) mod token;

#[cfg(test)]
mod tests;
