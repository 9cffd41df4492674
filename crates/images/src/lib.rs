//! Images on one machine: layers are directories, an image is a list of them and a config. Tar and digest only when something is
//! pulled, pushed or exported.

pub mod record;
