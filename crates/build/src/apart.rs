//! Questions to registries, away from futures that move between threads.

use mainstay_diagnosis::facts::BuildFault;
use mainstay_images::registry::RegistryError;
use tokio::{runtime::Handle, sync::oneshot};

use crate::source::platform_fault;

/// Lets a future of the registry run on a thread of its own: the compiler cannot show that it may move between threads. When the caller
/// goes away, it ends.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl AsyncFnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, BuildFault> {
    let (caller, mut caller_gone) = oneshot::channel::<()>();
    let runtime = Handle::current();
    let done = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            tokio::select! {
                result = work() => Some(result),
                _ = &mut caller_gone => None,
            }
        })
    });
    let done = done.await;
    drop(caller);
    match done {
        Ok(Some(result)) => result.map_err(RegistryError::into_fault),
        Ok(None) => unreachable!("the caller is here"),
        Err(error) => Err(platform_fault("asking the registry", &error)),
    }
}
