"""Enrolment over Secure Transport, for boxes and whoever speaks it (RFC 7030).

``/.well-known/est/cacerts``, ``simpleenroll`` with the serial and the claim token as HTTP
Basic, ``simplereenroll`` with the old certificate in TLS, expired or not. A request is
PKCS#10, an answer certs-only PKCS#7, both DER in base64. The names in a request are
ignored: a box is who the token or the old certificate says.
"""

import base64
import binascii
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from flask import Flask, Response, request
from flask_smorest import Api, Blueprint

from oleada_server.clock import now_utc
from oleada_server.db import db
from oleada_server.enrolment import pki, service
from oleada_server.enrolment.errors import (
    BadRequestForCertificateError,
    CertificateMissingError,
    ClaimMissingError,
)
from oleada_server.enrolment.peer import peer_of_request
from oleada_server.enrolment.renewals import renew
from oleada_server.problems import problem

ANSWER_TYPE: Final = "application/pkcs7-mime; smime-type=certs-only"
REQUEST_TYPE: Final = "application/pkcs10"
BODY: Final = {
    "required": True,
    "content": {REQUEST_TYPE: {"schema": {"type": "string", "format": "byte"}}},
}
BODY_BYTES_MAX: Final = 2 * pki.CSR_BYTES_MAX

blueprint = Blueprint(
    "est", __name__, url_prefix="/.well-known/est", description="Certificates of boxes (RFC 7030)"
)


@blueprint.get("/cacerts")
@blueprint.response(200)
def cacerts() -> Response:
    """Return the service CA, which boxes pin, and the device CA, which signs boxes."""
    authorities = (service.service_ca_pem(), service.device_authority().pem)
    return _certificates(*authorities)


@blueprint.post("/simpleenroll")
@blueprint.doc(requestBody=BODY)
@blueprint.response(200)
def simpleenroll() -> Response:
    """Return the first certificate of a box: its serial as user name, claim token as password."""
    claim = request.authorization
    if claim is None or claim.type != "basic" or not claim.username or not claim.password:
        raise ClaimMissingError
    source = request.remote_addr or ""
    enrolled = service.enrol(claim.password, claim.username, _csr_pem(), now_utc(), source)
    return _certificates(enrolled.certificate_pem)


@blueprint.post("/simplereenroll")
@blueprint.doc(requestBody=BODY)
@blueprint.response(200)
def simplereenroll() -> Response:
    """Return the next certificate of the box that has proved its last one, for a new key."""
    peer = peer_of_request()
    if peer is None:
        raise CertificateMissingError
    return _certificates(renew(peer, _key(), now_utc()))


def register(app: Flask, api: Api) -> None:
    """Add the door."""
    app.register_error_handler(ClaimMissingError, _ask_for_claim)
    api.register_blueprint(blueprint)


def _ask_for_claim(error: ClaimMissingError) -> Response:
    db.session.rollback()
    answer = problem(error.status, error.code, str(error))
    answer.headers["WWW-Authenticate"] = 'Basic realm="serial and claim token"'
    return answer


def _key() -> ec.EllipticCurvePublicKey:
    return pki.read_request(_csr_pem())


def _csr_pem() -> str:
    """Return the request in the body as PEM.

    Raises:
        BadRequestForCertificateError: the body is not base64.
    """
    data = request.stream.read(BODY_BYTES_MAX + 1)
    if len(data) > BODY_BYTES_MAX:
        raise BadRequestForCertificateError(f"it is longer than {BODY_BYTES_MAX} bytes.")
    try:
        der = base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error as error:
        raise BadRequestForCertificateError("it is not base64.") from error
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"


def _certificates(*pems: str) -> Response:
    found = [x509.load_pem_x509_certificate(pem.encode()) for pem in pems]
    answer = Response(base64.encodebytes(serialize_certificates(found, Encoding.DER)))
    answer.headers["Content-Type"] = ANSWER_TYPE
    answer.headers["Content-Transfer-Encoding"] = "base64"
    return answer
