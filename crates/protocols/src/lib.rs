//! Pure protocol parsers fed by what the socket tap saw.
