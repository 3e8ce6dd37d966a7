// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";

import {Der} from "./Der.sol";

/// @title ECDSA signatures over P-256 with SHA-256, by the precompile at 0x100 (EIP-7951) alone
/// @notice On a chain without the precompile everything here reverts with MissingPrecompile(0x100).
/// @dev WARNING: of the two signatures (r, s) and (r, n - s) both are accepted, because Intel signs either: nothing may
///      be keyed by the bytes of a signature.
library P256Signature {
    struct Key {
        bytes32 x;
        bytes32 y;
    }

    struct Signature {
        bytes32 r;
        bytes32 s;
    }

    error SignatureInvalid(bytes32 what);

    /// @notice Refuses a signature of `digest` that is not of `key`: of values out of range and of keys off the curve,
    ///         too. `what` names it in the error.
    function requireValid(bytes32 what, bytes32 digest, Signature memory signature, Key memory key) internal view {
        uint256 s = uint256(signature.s);
        if (s > P256.N / 2 && s < P256.N) s = P256.N - s;
        if (!P256.verifyNative(digest, signature.r, bytes32(s), key.x, key.y)) revert SignatureInvalid(what);
    }

    /// @notice The BIT STRING at `pos` that holds SEQUENCE { r, s }, and ends at `end`.
    function readDer(bytes memory der, uint256 pos, uint256 end) internal pure returns (Signature memory signature) {
        (uint256 start, uint256 stop) = Der.enter(der, pos, end, Der.BIT_STRING);
        Der.requireEnd(stop, end);
        start = Der.expect(der, start, stop, 0, 1);
        uint256 last;
        (start, last) = Der.enter(der, start, stop, Der.SEQUENCE);
        Der.requireEnd(last, stop);
        uint256 value;
        (value, start) = Der.readUint(der, start, stop, 32);
        signature.r = bytes32(value);
        (value, start) = Der.readUint(der, start, stop, 32);
        signature.s = bytes32(value);
        Der.requireEnd(start, stop);
    }
}
