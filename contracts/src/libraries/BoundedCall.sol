// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Calls into contracts nobody here trusts
/// @notice Exactly the promised gas or a revert, and never a copy of what they return.
library BoundedCall {
    /// @notice The transaction carries too little gas to give the callee what it was promised. Nothing has happened;
    ///         send more.
    error InsufficientGas(uint256 neededGas, uint256 leftGas);

    /// @dev What the caller needs after the call: a status write to a dirty slot, an event, leaving the guard.
    uint256 internal constant RESERVE_GAS = 20_000;

    /// @dev CALL itself on a warm account without value, and the arithmetic between the check and it.
    uint256 internal constant OVERHEAD_GAS = 3_000;

    /// @notice Calls `target` with `gasLimit`; reports whether it returned, and ignores what.
    /// @dev EIP-150 hands a call at most 63/64 of what is left and does so silently, so a deliverer could starve a
    ///      callback by choosing the transaction's gas well. Checked here, before the call.
    function tryCall(address target, uint256 gasLimit, bytes memory data) internal returns (bool isSuccess) {
        requireGas(gasLimit);
        assembly ("memory-safe") {
            // No return area: a return bomb is never copied, so its cost stays with the callee.
            isSuccess := call(gasLimit, target, 0, add(data, 0x20), mload(data), 0, 0)
        }
    }

    /// @notice Static call with `gasLimit`; `word` is the first returned word, and only one word is ever copied.
    function tryStaticCall(address target, uint256 gasLimit, bytes memory data)
        internal
        view
        returns (bool isSuccess, bytes32 word)
    {
        requireGas(gasLimit);
        assembly ("memory-safe") {
            mstore(0x00, 0)
            isSuccess := staticcall(gasLimit, target, add(data, 0x20), mload(data), 0x00, 0x20)
            isSuccess := and(isSuccess, gt(returndatasize(), 0x1f))
            word := mload(0x00)
        }
    }

    /// @notice Reverts unless a call made now can be given `gasLimit` and leave RESERVE_GAS.
    function requireGas(uint256 gasLimit) internal view {
        uint256 neededGas = gasLimit + gasLimit / 63 + 1 + OVERHEAD_GAS + RESERVE_GAS;
        uint256 leftGas = gasleft();
        if (leftGas < neededGas) revert InsufficientGas(neededGas, leftGas);
    }
}
