/** The version of the extension; tests/test_one_version.py holds it equal to the package's. */

export const VERSION = "0.1.0";
