//! Images of registries: nothing is built, they are pulled by digest.

use mainstay_diagnosis::facts::{BuildFault, BuilderChoice};
use mainstay_images::registry::{Credentials, Registry};

use super::{
    Inner,
    run::{Made, Run},
};
use crate::{Artifact, RegistryCredentials, Source, apart::apart, execute::BuildEnd};

fn credentials(given: Option<&RegistryCredentials>) -> Option<Credentials> {
    given.map(|given| Credentials {
        user: given.user.clone(),
        token: given.token.clone(),
    })
}

/// What the reference stands for now: `sha256:…`.
pub(super) async fn digest(
    inner: &Inner,
    reference: &str,
    given: Option<&RegistryCredentials>,
) -> Result<String, BuildFault> {
    let registry = Registry::new(&inner.store, &inner.settings);
    let (reference, given) = (reference.to_owned(), credentials(given));
    apart(async move || registry.digest(&reference, given.as_ref()).await).await
}

impl Run<'_> {
    pub(super) async fn with_image(&mut self) -> Result<Made, BuildEnd> {
        let Source::Image {
            reference,
            credentials: given,
        } = self.request.source.source.clone()
        else {
            unreachable!("only image sources come here")
        };
        self.record.facts.builder = Some(BuilderChoice::new("image", "the source is an image"));
        self.transcript.section("image");
        let pinned = pinned(&reference, &self.request.source.revision);
        self.transcript.step(&format!("pulling {pinned}"));
        let registry = Registry::new(&self.inner.store, &self.inner.settings);
        let given = credentials(given.as_ref());
        let work = apart(async move || registry.pull(&pinned, given.as_ref()).await);
        let image = self.platform_step("pull the image", work).await?;
        self.transcript
            .done(&format!("image {} with {} layers", image.id, image.layers.len()));
        Ok(Made {
            artifact: Artifact::Image { image: image.id },
            reads_outside: false,
        })
    }
}

/// The reference with the digest that it was resolved to, so that a tag that moved meanwhile changes nothing.
fn pinned(reference: &str, digest: &str) -> String {
    match reference.split_once('@') {
        _ if !digest.starts_with("sha256:") => reference.to_owned(),
        Some((name, _)) => format!("{name}@{digest}"),
        None => {
            let last = reference.rfind('/').map_or(0, |at| at + 1);
            let name = reference[last..]
                .find(':')
                .map_or(reference, |at| &reference[..last + at]);
            format!("{name}@{digest}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_takes_the_tags_place() {
        assert_eq!(pinned("redis:7", "sha256:ab"), "redis@sha256:ab");
        assert_eq!(
            pinned("localhost:5000/a/b", "sha256:ab"),
            "localhost:5000/a/b@sha256:ab"
        );
        assert_eq!(
            pinned("localhost:5000/a/b:1", "sha256:ab"),
            "localhost:5000/a/b@sha256:ab"
        );
        assert_eq!(pinned("a@sha256:cd", "sha256:ab"), "a@sha256:ab");
        assert_eq!(pinned("a:1", ""), "a:1");
    }
}
