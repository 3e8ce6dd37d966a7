// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.31;

// Names used in assembly alone, which solhint does not see.
// solhint-disable no-unused-import

import {BoundedCall} from "../BoundedCall.sol";
import {MODULUS} from "./Memory.sol";

/// @title Precompiles of BLS12-381 (EIP-2537) and of point evaluation (EIP-4844)
/// @notice A static call to a precompile that the chain lacks succeeds with empty return data, so the exact length
///         of the return data is required everywhere. A precompile that fails burns all the gas it was given, so it
///         is given what it costs and no more; with less left than that, BoundedCall.InsufficientGas says so.
library Precompiles {
    /// @notice The precompile failed (a point that is none, a scalar that is no field element, an opening that is
    ///         false) or does not exist here.
    error PrecompileFailed(uint256 precompile, uint256 returnedBytes);
    /// @notice The combined commitment is the point at infinity, which has more than one encoding.
    error InfiniteCommitment();

    uint256 internal constant SHA256 = 0x02;
    uint256 internal constant POINT_EVALUATION = 0x0a;
    uint256 internal constant G1ADD = 0x0b;
    uint256 internal constant G1MSM = 0x0c;
    uint256 internal constant PAIRING = 0x0f;

    uint256 private constant POINT_EVALUATION_GAS = 50_000;
    uint256 private constant G1ADD_GAS = 375;
    uint256 private constant SHA256_GAS = 84;
    uint256 private constant PAIRING_GAS = 37_700 + 2 * 32_600;
    uint256 private constant G1MUL_GAS = 12_000;

    /// @dev The higher of the two roots of a square has the flag (ZCash encoding): y above (p − 1)/2.
    uint256 private constant HALF_HIGH = 0x0d0088f51cbff34d258dd3db21a5d66b;
    uint256 private constant HALF_LOW = 0xb23ba5c279c2895fb39869507b587b120f55ffff58a9ffffdcff7fffffffd555;

    /// @dev −[1]_2.
    bytes private constant MINUS_G2 = hex"00000000000000000000000000000000024aa2b2f08f0a91260805272dc51051"
        hex"c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8"
        hex"0000000000000000000000000000000013e02b6052719f607dacd3a088274f65"
        hex"596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e"
        hex"000000000000000000000000000000000d1b3cc2c7027888be51d9ef691d77bc"
        hex"b679afda66c73f17f9ee3837a55024f78c71363275a75d75d86bab79f74782aa"
        hex"0000000000000000000000000000000013fa4d4a0ad8b1ce186ed5061789213d"
        hex"993923066dddaf1040bc3ff59f825c78df74f2d75467e25e0f55f8a00fa030ed";

    /// @notice A static call with that much gas, which must return exactly `expected` bytes, to `to`.
    function callExactly(
        uint256 precompile,
        uint256 gasLimit,
        uint256 place,
        uint256 size,
        uint256 to,
        uint256 expected
    ) internal view {
        BoundedCall.requireGas(gasLimit);
        uint256 returned;
        assembly ("memory-safe") {
            if staticcall(gasLimit, precompile, place, size, to, expected) { returned := returndatasize() }
        }
        if (returned != expected) revert PrecompileFailed(precompile, returned);
    }

    /// @notice Σ scalar·point over `count` entries of 160 bytes; the sum's 128 bytes go to `to`. Checks that every
    ///         point is of the prime-order group, whatever its scalar.
    function multiply(uint256 entries, uint256 count, uint256 to) internal view {
        unchecked {
            callExactly(G1MSM, count * G1MUL_GAS * _discount(count) / 1000, entries, 160 * count, to, 128);
        }
    }

    /// @notice The sum of two points, 256 bytes, goes to `to`. Checks that both are of the curve, but not that they are
    ///         of the prime-order group: the sum is if both are, and if one is, the sum shows whether the other is.
    function add(uint256 pair, uint256 to) internal view {
        callExactly(G1ADD, G1ADD_GAS, pair, 256, to, 128);
    }

    /// @dev In thousandths, from the table of EIP-2537: that of the power of two below, never less than the true one.
    function _discount(uint256 count) private pure returns (uint256) {
        if (count >= 128) return 519;
        if (count >= 64) return 576;
        if (count >= 32) return 627;
        if (count >= 16) return 677;
        return count >= 8 ? 728 : 1000;
    }

    /// @notice Reverts if the 128 bytes are the point at infinity.
    function requireFinite(uint256 point) internal pure {
        bool isInfinite;
        assembly ("memory-safe") {
            let x := or(mload(point), mload(add(point, 0x20)))
            isInfinite := iszero(or(x, or(mload(add(point, 0x40)), mload(add(point, 0x60)))))
        }
        if (isInfinite) revert InfiniteCommitment();
    }

    /// @notice Reverts unless the 128 bytes are a point of the curve.
    function requireOnCurve(uint256 point) internal view {
        uint256 input;
        assembly ("memory-safe") {
            input := mload(0x40)
            mcopy(input, point, 0x80)
            calldatacopy(add(input, 0x80), calldatasize(), 0x80)
        }
        add(input, input);
    }

    /// @notice Whether e(left, −[1]_2)·e(right, [τ]_2) = 1.
    /// @param pairs 768 bytes: left, room for −[1]_2, right, [τ]_2.
    function isPaired(uint256 pairs) internal view returns (bool result) {
        bytes memory minusGenerator = MINUS_G2;
        assembly ("memory-safe") {
            mcopy(add(pairs, 0x80), add(minusGenerator, 0x20), 0x100)
        }
        callExactly(PAIRING, PAIRING_GAS, pairs, 768, 0x00, 32);
        assembly ("memory-safe") {
            result := eq(mload(0x00), 1)
        }
    }

    /// @notice Whether the polynomial of degree below 4096 committed to by `commitment` takes `y` at `z`; where it
    ///         does not, the precompile fails. Both points are 128 bytes and of the curve; 0x0a checks that they
    ///         are of the prime-order group.
    function isEvaluation(uint256 commitment, uint256 z, uint256 y, uint256 quotient)
        internal
        view
        returns (bool result)
    {
        uint256 input;
        assembly ("memory-safe") {
            input := mload(0x40)
            mstore(add(input, 0x20), z)
            mstore(add(input, 0x40), y)
        }
        _compress(commitment, input + 0x60);
        _compress(quotient, input + 0x90);
        callExactly(SHA256, SHA256_GAS, input + 0x60, 48, input, 32);
        assembly ("memory-safe") {
            mstore8(input, 1)
        }
        callExactly(POINT_EVALUATION, POINT_EVALUATION_GAS, input, 192, 0x00, 64);
        assembly ("memory-safe") {
            // FIELD_ELEMENTS_PER_BLOB and BLS_MODULUS
            result := and(eq(mload(0x00), 4096), eq(mload(0x20), mload(MODULUS)))
        }
    }

    /// @dev 48 bytes to `to`: x, with the flags in its highest three bits.
    function _compress(uint256 point, uint256 to) private pure {
        assembly ("memory-safe") {
            let high := mload(point)
            let low := mload(add(point, 0x20))
            let yHigh := mload(add(point, 0x40))
            let yLow := mload(add(point, 0x60))
            let isUpper := or(gt(yHigh, HALF_HIGH), and(eq(yHigh, HALF_HIGH), gt(yLow, HALF_LOW)))
            let flags := or(0x80, shl(5, isUpper))
            if iszero(or(or(high, low), or(yHigh, yLow))) { flags := 0xc0 }
            // 16 bytes of x, then 32: the first word's other half is overwritten by the second.
            mstore(to, shl(128, or(high, shl(120, flags))))
            mstore(add(to, 0x10), low)
        }
    }
}
