/** The version of the extension; tests/test_public_api.py holds it equal to the package's. */

export const VERSION = "0.1.0";
