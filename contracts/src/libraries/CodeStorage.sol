// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Bytes kept as contract code
/// @notice 200 gas a byte to write once, one cold account access to read: for circuits, which never change.
library CodeStorage {
    /// @notice EIP-170's limit less the leading STOP.
    uint256 internal constant MAX_BYTES = 24_575;

    error TooLong(uint256 maxBytes, uint256 gotBytes);
    error WriteFailed();

    /// @notice Stores `data` (1 to MAX_BYTES bytes) and returns the address whose code it is, behind one STOP byte.
    /// @dev The STOP makes the data impossible to execute: no `data` can be crafted into a contract that destroys
    ///      itself.
    function write(bytes memory data) internal returns (address pointer) {
        bytes memory creation = makeCreationCode(data);
        assembly ("memory-safe") {
            pointer := create(0, add(creation, 0x20), mload(creation))
        }
        if (pointer == address(0)) revert WriteFailed();
    }

    /// @notice What creates a contract whose code is a STOP byte and `data`.
    function makeCreationCode(bytes memory data) internal pure returns (bytes memory) {
        if (data.length > MAX_BYTES) revert TooLong(MAX_BYTES, data.length);
        // PUSH2 size, DUP1, PUSH1 offset 10, PUSH0, CODECOPY, PUSH0, RETURN: return what follows these ten bytes.
        return abi.encodePacked(hex"61", uint16(data.length + 1), hex"80600a5f395ff3", hex"00", data);
    }

    /// @notice The bytes stored at `pointer`.
    /// @dev `pointer` must come from `write`.
    function read(address pointer) internal view returns (bytes memory data) {
        uint256 size = pointer.code.length - 1;
        data = new bytes(size);
        assembly ("memory-safe") {
            extcodecopy(pointer, add(data, 0x20), 1, size)
        }
    }
}
