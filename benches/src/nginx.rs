//! nginx that passes bytes and does nothing else: the measure of our gateway.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;

use crate::Failure;
use crate::process::Process;

/// Where nginx is when it is not on the path, which on Debian it is for root only.
const PLACES: [&str; 2] = ["nginx", "/usr/sbin/nginx"];

/// Starts nginx in front of `upstream`, with everything that it writes in `directory`.
///
/// # Errors
/// Where nginx is missing, or does not listen within ten seconds.
pub async fn start(directory: &Path, upstream: SocketAddr) -> Result<(Process, SocketAddr), Failure> {
    let address = free_address()?;
    let file = directory.join("nginx.conf");
    std::fs::write(&file, configuration(directory, address, upstream))?;
    let mut failure = Failure::from("nginx is not known");
    for place in PLACES {
        let mut command = Command::new(place);
        command.arg("-p").arg(directory).arg("-c").arg(&file).arg("-e").arg(directory.join("error.log"));
        match Process::start("nginx", command) {
            Ok(process) => {
                listening(address).await?;
                return Ok((process, address));
            }
            Err(error) => failure = error,
        }
    }
    Err(format!("{failure}; install it, on Debian with apt-get install nginx").into())
}

/// One process that is its own worker, connections to the upstream kept, no log.
fn configuration(directory: &Path, address: SocketAddr, upstream: SocketAddr) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {}/{kind};\n", directory.display()))
        .concat();
    format!(
        "daemon off;
master_process off;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
{temporary}  keepalive_timeout 600s;
  keepalive_requests 1000000000;
  upstream behind {{
    server {upstream};
    keepalive 128;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
  }}
  server {{
    listen {address};
    location / {{
      proxy_pass http://behind;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
    }}
  }}
}}
",
        directory = directory.display(),
    )
}

/// An address that nobody listens on just now.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

async fn listening(address: SocketAddr) -> Result<(), Failure> {
    for _ in 0..100 {
        if TcpStream::connect(address).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(format!("nginx does not listen on {address}").into())
}
