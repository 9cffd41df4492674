//! Static sites.

use std::path::Path;

use mainstay_router::snapshot::{Route, Snapshot, Target};

use super::harness::{HOST, Router, route, snapshot};

fn site(root: &Path, error: Option<&str>, catchall: Option<&str>) -> Target {
    Target::Static {
        root: root.to_owned(),
        index_document: "index.html".into(),
        error_document: error.map(str::to_owned),
        catchall_document: catchall.map(str::to_owned),
    }
}

fn write(root: &Path, files: &[(&str, &[u8])]) {
    for (name, content) in files {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

fn of(root: &Path) -> Snapshot {
    snapshot(vec![route("/", site(root, Some("404.html"), None))])
}

#[test]
fn files_indexes_types_and_missing_pages() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let big = vec![b'b'; 300_000];
    write(
        root,
        &[
            ("index.html", b"<h1>home</h1>"),
            ("404.html", b"<h1>lost</h1>"),
            ("docs/index.html", b"<h1>docs</h1>"),
            ("a b.txt", b"spaced"),
            ("app.js", b"let a = 1"),
            ("big.bin", &big),
            ("empty.txt", b""),
            (".well-known/x", b"hidden"),
        ],
    );
    std::os::unix::fs::symlink("/etc/passwd", root.join("escape")).unwrap();
    let router = Router::start(of(root));
    let mut visitor = router.connect();
    let cases: [(&str, u16, &str, &[u8]); 9] = [
        ("/", 200, "text/html; charset=utf-8", b"<h1>home</h1>"),
        ("/docs/", 200, "text/html; charset=utf-8", b"<h1>docs</h1>"),
        ("/a%20b.txt", 200, "text/plain; charset=utf-8", b"spaced"),
        ("/app.js", 200, "text/javascript; charset=utf-8", b"let a = 1"),
        ("/big.bin", 200, "application/octet-stream", &big),
        ("/empty.txt", 200, "text/plain; charset=utf-8", b""),
        ("/.well-known/x", 200, "application/octet-stream", b"hidden"),
        ("/nope", 404, "text/html; charset=utf-8", b"<h1>lost</h1>"),
        ("/escape", 404, "text/html; charset=utf-8", b"<h1>lost</h1>"),
    ];
    for (path, status, content_type, body) in cases {
        let answer = visitor.get(HOST, path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, Some(content_type)),
            "{path}"
        );
        assert!(answer.body == body, "{path}: {} bytes", answer.body.len());
        assert_eq!(
            answer.header("cache-control"),
            Some("public, max-age=10"),
            "{path}"
        );
    }
    let into = visitor.get(HOST, "/docs");
    assert_eq!((into.status, into.header("location")), (301, Some("/docs/")));
    let head = visitor.ask("HEAD", HOST, "/big.bin", &[]);
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, Some("300000"))
    );
    assert_eq!(
        visitor.ask("POST", HOST, "/", &[("Content-Length", "0")]).status,
        405
    );
    assert_eq!(visitor.get(HOST, "/").status, 200, "the connection still works");
}

#[test]
fn conditions_ranges_and_compressed_copies() {
    let place = tempfile::tempdir().unwrap();
    write(
        place.path(),
        &[
            ("a.css", b"0123456789"),
            ("a.css.br", b"brotli"),
            ("a.css.gz", b"gzip"),
            ("b.bin", b"0123456789"),
        ],
    );
    let router = Router::start(of(place.path()));
    let mut visitor = router.connect();
    let plain = visitor.get(HOST, "/a.css");
    assert_eq!(
        (plain.text().as_str(), plain.header("vary")),
        ("0123456789", Some("accept-encoding"))
    );
    let etag = plain.header("etag").unwrap();
    assert_eq!(
        visitor
            .ask("GET", HOST, "/a.css", &[("If-None-Match", etag)])
            .status,
        304
    );
    let modified = plain.header("last-modified").unwrap();
    assert_eq!(
        visitor
            .ask("GET", HOST, "/a.css", &[("If-Modified-Since", modified)])
            .status,
        304
    );

    let part = visitor.ask("GET", HOST, "/b.bin", &[("Range", "bytes=2-4")]);
    assert_eq!((part.status, part.text().as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));
    let beyond = visitor.ask("GET", HOST, "/b.bin", &[("Range", "bytes=10-")]);
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, Some("bytes */10"))
    );

    for (accepted, encoding, body) in [
        ("gzip, br", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzip"),
        ("identity", None, "0123456789"),
    ] {
        let answer = visitor.ask("GET", HOST, "/a.css", &[("Accept-Encoding", accepted)]);
        assert_eq!(
            (answer.header("content-encoding"), answer.text().as_str()),
            (encoding, body)
        );
    }
}

#[test]
fn a_catchall_answers_missing_paths_with_200() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &[("index.html", b"app"), ("real.txt", b"real")]);
    let router = Router::start(snapshot(vec![route(
        "/",
        site(place.path(), None, Some("index.html")),
    )]));
    let mut visitor = router.connect();
    let deep = visitor.get(HOST, "/users/7");
    assert_eq!((deep.status, deep.text().as_str()), (200, "app"));
    assert_eq!(visitor.get(HOST, "/real.txt").text(), "real");
}

#[test]
fn a_site_below_a_prefix_redirects_where_the_visitor_is() {
    let place = tempfile::tempdir().unwrap();
    write(place.path(), &[("docs/index.html", b"docs")]);
    let below = Route {
        preserve_path_prefix: false,
        ..route("/static", site(place.path(), None, None))
    };
    let router = Router::start(snapshot(vec![below]));
    let mut visitor = router.connect();
    assert_eq!(visitor.get(HOST, "/static/docs/").text(), "docs");
    assert_eq!(
        visitor.get(HOST, "/static/docs").header("location"),
        Some("/static/docs/")
    );
    let missing = visitor.get(HOST, "/static/nope");
    assert_eq!(
        (missing.status, missing.header("mainstay-detail")),
        (404, Some("file_unknown"))
    );
}

#[test]
fn a_new_deployment_swaps_the_whole_site() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write(old.path(), &[("index.html", b"old"), ("only-old.txt", b"x")]);
    write(new.path(), &[("index.html", b"new")]);
    let mut router = Router::start(of(old.path()));
    let mut visitor = router.connect();
    let etag = visitor.get(HOST, "/").header("etag").unwrap().to_owned();
    router.route(of(new.path()));
    let changed = visitor.ask("GET", HOST, "/", &[("If-None-Match", &etag)]);
    assert_eq!((changed.status, changed.text().as_str()), (200, "new"));
    assert_eq!(visitor.get(HOST, "/only-old.txt").status, 404);
}
