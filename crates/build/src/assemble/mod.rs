//! From a finished workspace to what is kept: an image record, or a static site's files.

mod image;
mod static_files;

pub(crate) use self::{
    image::{ImageParts, image_record, processes, search_path, several_programs},
    static_files::{
        KnownDirectories, OutputChoice, choose_output, files_of_image, move_output, sites_in_image,
    },
};
