//! How requests find a component: ingress rules, and the older `routes` and `cors` of components.

use crate::decode::{choice, object};

object! {
    /// The app's rules for requests; the first that matches wins.
    "an ingress": pub struct Ingress {
        pub rules: Vec<IngressRule>,
        pub load_balancer: Option<LoadBalancer>,
        pub load_balancer_size: Option<u32>,
        pub secure_header: Option<SecureHeader>,
        pub custom_error_page_url: Option<String>,
    }
}

choice! {
    pub enum LoadBalancer {
        Unset = "UNSET",
        DigitalOcean = "DIGITALOCEAN",
    }
}

object! {
    /// Only requests with this header pass.
    "a secure header": pub struct SecureHeader {
        pub key: String,
        pub value: super::Sensitive,
        pub remove_header: bool,
    }
}

object! {
    "an ingress rule": pub struct IngressRule {
        pub r#match: Option<IngressMatch>,
        pub component: Option<IngressComponent>,
        pub redirect: Option<IngressRedirect>,
        pub cors: Option<Cors>,
    }
}

object! {
    "an ingress match": pub struct IngressMatch {
        pub path: Option<StringMatch>,
        pub authority: Option<StringMatch>,
    }
}

object! {
    /// Exactly one of the two.
    "a match": pub struct StringMatch {
        pub prefix: Option<String>,
        pub exact: Option<String>,
    }
}

object! {
    "an ingress component": pub struct IngressComponent {
        pub name: String,
        pub preserve_path_prefix: bool,
        /// Replaces the matched prefix; excludes `preserve_path_prefix`.
        pub rewrite: Option<String>,
    }
}

object! {
    "an ingress redirect": pub struct IngressRedirect {
        /// Replaces the whole path.
        pub uri: Option<String>,
        pub authority: Option<String>,
        pub port: Option<u16>,
        pub scheme: Option<String>,
        pub redirect_code: Option<u32>,
    }
}

object! {
    /// A path prefix that leads to the component.
    "a route": pub struct Route {
        pub path: Option<String>,
        pub preserve_path_prefix: bool,
    }
}

object! {
    /// Which other sites' scripts may read the answers.
    "a cors policy": pub struct Cors {
        pub allow_origins: Vec<OriginMatch>,
        pub allow_methods: Vec<String>,
        pub allow_headers: Vec<String>,
        pub expose_headers: Vec<String>,
        /// A duration such as `5h30m`.
        pub max_age: Option<String>,
        pub allow_credentials: bool,
    }
}

object! {
    /// Exactly one of the three.
    "an origin": pub struct OriginMatch {
        pub exact: Option<String>,
        /// Deprecated.
        pub prefix: Option<String>,
        pub regex: Option<String>,
    }
}
