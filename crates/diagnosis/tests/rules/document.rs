//! `docs/error-codes.md` is what the catalogue says. `UPDATE=1` writes it anew.

use std::path::Path;

#[test]
fn the_page_is_generated_from_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/error-codes.md");
    let wanted = mainstay_diagnosis::document::error_codes_page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("it has a directory")).expect("docs/ can be made");
        std::fs::write(&path, &wanted).expect("the page can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/error-codes.md is not what the catalogue says; UPDATE=1 writes it anew"
    );
}
