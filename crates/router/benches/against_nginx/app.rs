//! The app behind both proxies: canned answers, nothing parsed but the path's last letter.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Runs on a thread of its own until the process ends.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(serve(listener))
    });
    Ok(address)
}

async fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let (small, large) = (answer(1 << 10).leak(), answer(1 << 20).leak());
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(converse(stream, small, large));
    }
}

async fn converse(mut stream: TcpStream, small: &'static [u8], large: &'static [u8]) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::with_capacity(4096);
    while stream.read_buf(&mut request).await? > 0 {
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        stream
            .write_all(if request.starts_with(b"GET /1m") {
                large
            } else {
                small
            })
            .await?;
        request.clear();
    }
    Ok(())
}

fn answer(length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.into_bytes(), vec![b'x'; length]].concat()
}
