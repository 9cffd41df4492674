//! How a supervisor comes to its sockets: new ones, or those of a serving process that lost its supervisor.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt, Interest},
    net::UnixStream,
    time::{Instant, sleep},
};

use super::listeners;
use crate::{control::Request, control_lock::ControlLock, wire};

/// A serving process that lost its supervisor needs a moment to notice.
const TAKE_MAX: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub struct Ownership {
    pub lock: ControlLock,
    pub listeners: Vec<TcpListener>,
    /// The serving process that gave the sockets, to be replaced.
    pub orphan: Option<UnixStream>,
}

impl Ownership {
    pub async fn take(control: &Path, listen: &[SocketAddr]) -> io::Result<Self> {
        let deadline = Instant::now() + TAKE_MAX;
        loop {
            let error = match Self::try_take(control, listen).await {
                Ok(ownership) => return Ok(ownership),
                Err(error) => error,
            };
            let may_pass = matches!(
                error.kind(),
                io::ErrorKind::AddrInUse
                    | io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::NotFound
                    | io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::WouldBlock
            );
            if !may_pass || Instant::now() > deadline {
                return Err(error);
            }
            sleep(PAUSE).await;
        }
    }

    /// A free lock with a taken address means: a serving process has not noticed yet that it is alone.
    async fn try_take(control: &Path, listen: &[SocketAddr]) -> io::Result<Self> {
        if let Some(lock) = ControlLock::try_take(control)? {
            let listeners = listeners::complete(listen, Vec::new())?;
            return Ok(Self {
                lock,
                listeners,
                orphan: None,
            });
        }
        let (stream, inherited) = adopt(control).await?;
        let listeners = listeners::complete(listen, inherited)?;
        let lock = ControlLock::try_take(control)?.ok_or(io::ErrorKind::WouldBlock)?;
        Ok(Self {
            lock,
            listeners,
            orphan: Some(stream),
        })
    }
}

async fn adopt(control: &Path) -> io::Result<(UnixStream, Vec<TcpListener>)> {
    let mut stream = UnixStream::connect(control).await?;
    stream.write_all(&wire::line(&Request::Adopt)).await?;
    let inherited = stream
        .async_io(Interest::READABLE, || wire::receive_listeners(&stream))
        .await;
    match inherited {
        Ok(inherited) => Ok((stream, inherited)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(io::Error::other(format!(
            "a router is running already on {}",
            control.display()
        ))),
        Err(error) => Err(error),
    }
}
