"""The key that signs form tokens and cookies: made once, kept in a file."""

import os
import secrets

from oleada_server.config import Config

SECRET_BYTES = 32


def secret_key(config: Config) -> bytes:
    """Return the secret key of *config*'s data directory; made on first use.

    Created with O_EXCL, so that of two processes that start together one wins and the
    other reads what it wrote. One that is too short was damaged, and anybody could guess
    it: it is made anew, so that people sign in again.
    """
    path = config.keys_dir / "secret_key"
    config.keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    if path.exists() and path.stat().st_size < SECRET_BYTES:
        path.unlink(missing_ok=True)
    if not path.exists():
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(part, path)  # fails if another process was faster: its key counts
        except FileExistsError:
            pass
        finally:
            part.unlink()
    return path.read_bytes()
