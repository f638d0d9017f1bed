//! Rules that must hold for any input whatsoever, one check per file. The fuzz targets in `fuzz/` run the
//! checks on inputs of their own making; the tests here, which need no nightly compiler, run them on
//! what fuzzing has found and on random inputs.

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
