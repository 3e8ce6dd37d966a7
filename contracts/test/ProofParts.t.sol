// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {BoundedCall} from "../src/libraries/BoundedCall.sol";
import {COORDINATES, Memory, load, store} from "../src/libraries/proof/Memory.sol";
import {ALL_SIGMA, Points} from "../src/libraries/proof/Points.sol";
import {Precompiles} from "../src/libraries/proof/Precompiles.sol";
import {PublicTensor} from "../src/libraries/proof/PublicTensor.sol";
import {Transcript} from "../src/libraries/proof/Transcript.sol";
import {vm} from "./Vm.sol";

/// @title The libraries, each call in a memory of its own
contract Parts {
    uint256 internal constant R = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;

    function begin(uint256 seed) private pure {
        Memory.begin();
        for (uint256 i; i < 32; ++i) {
            store(COORDINATES + 32 * i, uint256(keccak256(abi.encode(seed, i))) % R);
        }
    }

    function coordinate(uint256 i) private pure returns (uint256) {
        return load(COORDINATES + 32 * i);
    }

    /// @dev eq of coordinates [first, first + bits) with an index.
    function eqSlow(uint256 first, uint256 bits, uint256 index) private pure returns (uint256 result) {
        result = 1;
        for (uint256 j; j < bits; ++j) {
            uint256 c = coordinate(first + j);
            result = mulmod(result, (index >> j) & 1 == 1 ? c : addmod(1, R - c, R), R);
        }
    }

    function bitsSlow(uint256 size) private pure returns (uint256 bits) {
        while ((1 << bits) < size) ++bits;
    }

    function sizesOf(uint256[] memory dimensions) private pure returns (uint256 sizes) {
        sizes = Memory.allocate(32 * (1 + dimensions.length));
        store(sizes, dimensions.length);
        for (uint256 a; a < dimensions.length; ++a) {
            store(sizes + 32 * (a + 1), dimensions[a]);
        }
    }

    /// @dev `dimensions` from the low bits up. Both ways of evaluating a tensor, and both of counting its true
    ///      entries.
    function evaluateBoth(uint256 seed, uint256[] calldata dimensions, uint256 offset, bytes calldata data)
        external
        pure
        returns (uint256 fast, uint256 slow, uint256 mask, uint256 maskSlow)
    {
        begin(seed);
        uint256 place;
        assembly ("memory-safe") {
            place := data.offset
        }
        for (uint256 i; 2 * i < data.length; ++i) {
            int256 x = int16(uint16(bytes2(data[2 * i:2 * i + 2])));
            uint256 eq = eqOfEntry(dimensions, i);
            slow = addmod(slow, mulmod(eq, x < 0 ? R - uint256(-x) : uint256(x), R), R);
            maskSlow = addmod(maskSlow, eq, R);
        }
        mask = PublicTensor.maskOf(ALL_SIGMA, sizesOf(dimensions));
        fast = PublicTensor.evaluate(place, sizesOf(dimensions), offset, ALL_SIGMA);
    }

    function eqOfEntry(uint256[] memory dimensions, uint256 entry) private pure returns (uint256 result) {
        result = 1;
        uint256 first;
        for (uint256 a; a < dimensions.length; ++a) {
            uint256 bits = bitsSlow(dimensions[a]);
            result = mulmod(result, eqSlow(first, bits, entry % dimensions[a]), R);
            entry /= dimensions[a];
            first += bits;
        }
    }

    /// @dev The list of blocks above `cut`, compared with eq of the bits above it of every block with a true entry.
    function expandBoth(uint256 seed, uint256[] calldata dimensions, uint256 cut)
        external
        pure
        returns (uint256[] memory fast, uint256[] memory slow)
    {
        begin(seed);
        (uint256 list, uint256 count) = Points.expand(ALL_SIGMA, sizesOf(dimensions), cut, 7);
        fast = new uint256[](count);
        for (uint256 i; i < count; ++i) {
            fast[i] = load(list + 32 * i);
        }
        uint256 bits;
        for (uint256 a; a < dimensions.length; ++a) {
            bits += bitsSlow(dimensions[a]);
        }
        uint256 high = bits > cut ? bits - cut : 0;
        slow = new uint256[](count);
        uint256 found;
        for (uint256 block_; block_ < 1 << high; ++block_) {
            if (!isTrue(dimensions, block_ << cut)) continue;
            if (found < count) slow[found] = mulmod(7, eqSlow(cut, high, block_), R);
            ++found;
        }
        require(found == count, "number of blocks");
    }

    function isTrue(uint256[] memory dimensions, uint256 index) private pure returns (bool) {
        for (uint256 a; a < dimensions.length; ++a) {
            uint256 bits = bitsSlow(dimensions[a]);
            if (index & ((1 << bits) - 1) >= dimensions[a]) return false;
            index >>= bits;
        }
        return true;
    }

    function isInRange(bytes calldata data, uint256 offset) external pure returns (bool) {
        return PublicTensor.isInRange(data, offset);
    }

    /// @dev With everything before that position in use.
    function beginAt(uint256 place) external pure {
        store(0x40, place);
        Memory.begin();
    }

    function eqIndexBoth(uint256 seed, uint256 first, uint256 bits, uint256 index)
        external
        pure
        returns (uint256, uint256)
    {
        begin(seed);
        return (Points.eqIndex(ALL_SIGMA, first, first + bits, index), eqSlow(first, bits, index));
    }

    function transcript(bytes calldata data) external pure returns (uint256 challenge, uint256 expected) {
        begin(0);
        uint256 place;
        assembly ("memory-safe") {
            place := data.offset
        }
        Transcript.absorb(place, data.length);
        Transcript.draw(COORDINATES, 1);
        challenge = load(COORDINATES);
        bytes32 state = keccak256(abi.encodePacked(bytes32(0), uint8(0), uint32(data.length), data));
        expected = uint256(keccak256(abi.encodePacked(state, uint8(1)))) % R;
    }

    /// @dev The generator times a scalar, by the multiplication that verification uses.
    function multiply(uint256 scalar, uint256 gasLimit) external view returns (bytes memory point) {
        require(gasleft() > gasLimit, "too little gas for the test");
        uint256 to = timesGenerator(scalar);
        Precompiles.requireFinite(to);
        point = new bytes(128);
        assembly ("memory-safe") {
            mcopy(add(point, 0x20), to, 0x80)
        }
    }

    function timesGenerator(uint256 scalar) private view returns (uint256 to) {
        Memory.begin();
        uint256 entries = Memory.allocate(160);
        to = Memory.allocate(128);
        assembly ("memory-safe") {
            mstore(entries, 0x17f1d3a73197d7942695638c4fa9ac0f)
            mstore(add(entries, 0x20), 0xc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb)
            mstore(add(entries, 0x40), 0x08b3f481e3aaa0f1a09e30ed741d8ae4)
            mstore(add(entries, 0x60), 0xfcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1)
            mstore(add(entries, 0x80), scalar)
        }
        Precompiles.multiply(entries, 1, to);
    }

    /// @dev Whether the polynomial that is `value` everywhere takes `y` at `z`. Its quotient is zero, so the point that
    ///      shows it is the one at infinity.
    function isConstant(uint256 value, uint256 z, uint256 y) external view returns (bool) {
        uint256 commitment = timesGenerator(value);
        return Precompiles.isEvaluation(commitment, z, y, Memory.allocate(128));
    }

    function callPrecompile(uint256 precompile, uint256 expectedBytes) external view {
        Precompiles.callExactly(precompile, 1000, 0, 32, 0, expectedBytes);
    }

    function onCurve(bytes calldata data) external view {
        bytes memory point = data;
        uint256 place;
        assembly ("memory-safe") {
            place := add(point, 0x20)
        }
        Precompiles.requireOnCurve(place);
    }
}

/// @title Building blocks against loops that nobody has to think about
contract ProofPartsTest {
    Parts private parts = new Parts();

    function testFuzz_Tensors(uint256 seed) public view {
        uint256[] memory dimensions = drawDimensions(seed, 40);
        bytes memory data = drawData(seed, dimensions, seed & 1 == 1);
        (uint256 fast, uint256 slow, uint256 mask, uint256 maskSlow) =
            parts.evaluateBoth(seed, dimensions, seed & 1 == 1 ? 2048 : 0, data);
        vm.assertEq(fast, slow, "tensor");
        vm.assertEq(mask, maskSlow, "mask");
    }

    function test_TensorsOfEverySize() public view {
        for (uint256 size = 1; size < 300; size += size < 40 ? 1 : 13) {
            uint256[] memory dimensions = new uint256[](1);
            dimensions[0] = size;
            (uint256 fast, uint256 slow,,) =
                parts.evaluateBoth(size, dimensions, 2048, drawData(size, dimensions, true));
            vm.assertEq(fast, slow, vm.toString(size));
        }
    }

    /// @dev One value out of its range is seen wherever it stands: in the blocks of 128 values that are looked at
    ///      together, in the words behind them, and in the last word's every lane.
    function test_RangesOfEveryPlace() public view {
        bytes memory high = new bytes(2 * 411);
        bytes memory low = new bytes(2 * 411);
        for (uint256 i; i < high.length; i += 2) {
            (high[i], high[i + 1], low[i]) = (0x07, 0xff, 0xf8);
        }
        vm.assertTrue(parts.isInRange(high, 2048) && parts.isInRange(low, 2048), "the limits are in range");
        for (uint256 i; i < high.length; i += 2) {
            (high[i], high[i + 1], low[i], low[i + 1]) = (0x08, 0x00, 0xf7, 0xff);
            vm.assertTrue(!parts.isInRange(high, 2048) && !parts.isInRange(low, 2048), vm.toString(i));
            (high[i], high[i + 1], low[i], low[i + 1]) = (0x07, 0xff, 0xf8, 0x00);
        }
        for (uint256 i; i < high.length; i += 2) {
            high[i] = 0x0f;
        }
        vm.assertTrue(parts.isInRange(high, 0), "4095 without a sign");
        for (uint256 i; i < high.length; i += 2) {
            (high[i], high[i + 1]) = (0x10, 0x00);
            vm.assertTrue(!parts.isInRange(high, 0), vm.toString(i));
            (high[i], high[i + 1]) = (0x0f, 0xff);
        }
    }

    /// @dev What lies behind the values in the calldata is none of them, whatever it is.
    function testFuzz_WhatIsBehindTheValuesIsNotRead(uint256 count, bytes32 behind) public view {
        count = count % 150;
        bytes memory call = abi.encodePacked(
            Parts.isInRange.selector, uint256(64), uint256(2048), 2 * count, new bytes(2 * count), behind, behind
        );
        (bool isSuccess, bytes memory answer) = address(parts).staticcall(call);
        vm.assertTrue(isSuccess && abi.decode(answer, (bool)), vm.toString(count));
    }

    function test_FixedPositionsAreNobodyElses() public {
        parts.beginAt(0x900);
        vm.expectRevert(abi.encodeWithSelector(Memory.NoRoom.selector, 0x920));
        parts.beginAt(0x920);
    }

    function testFuzz_Lists(uint256 seed, uint256 cut) public view {
        uint256[] memory dimensions = drawDimensions(seed, 12);
        (uint256[] memory fast, uint256[] memory slow) = parts.expandBoth(seed, dimensions, cut % 14);
        vm.assertEq(keccak256(abi.encode(fast)), keccak256(abi.encode(slow)));
    }

    function testFuzz_EqOfAnIndex(uint256 seed, uint256 first, uint256 bits, uint256 index) public view {
        (uint256 fast, uint256 slow) = parts.eqIndexBoth(seed, first % 16, bits % 16, index & 0xffff);
        vm.assertEq(fast, slow, "eq");
    }

    function testFuzz_Transcript(bytes calldata data) public view {
        (uint256 challenge, uint256 expected) = parts.transcript(data);
        vm.assertEq(challenge, expected, "challenge");
    }

    function drawDimensions(uint256 seed, uint256 limit) private pure returns (uint256[] memory dimensions) {
        dimensions = new uint256[](1 + seed % 3);
        for (uint256 a; a < dimensions.length; ++a) {
            dimensions[a] = 1 + uint256(keccak256(abi.encode(seed, "size", a))) % (a == 0 ? limit : 5);
        }
    }

    function drawData(uint256 seed, uint256[] memory dimensions, bool isSigned) private pure returns (bytes memory) {
        uint256 size = 1;
        for (uint256 a; a < dimensions.length; ++a) {
            size *= dimensions[a];
        }
        bytes memory data = new bytes(2 * size);
        for (uint256 i; i < size; ++i) {
            uint16 value = uint16(uint256(keccak256(abi.encode(seed, i))) & 0xfff);
            if (isSigned) {
                unchecked {
                    value -= 2048;
                }
            }
            data[2 * i] = bytes1(uint8(value >> 8));
            data[2 * i + 1] = bytes1(uint8(value));
        }
        return data;
    }

    // ---- precompiles ----------------------------------------------------------------------------------------------

    function test_MultiplicationAndInfinity() public {
        bytes memory point = parts.multiply(1, 0);
        parts.onCurve(point);
        point[127] = point[127] ^ 0x01;
        vm.expectRevert(abi.encodeWithSelector(Precompiles.PrecompileFailed.selector, 11, 0));
        parts.onCurve(point);
        vm.expectRevert(abi.encodeWithSelector(Precompiles.InfiniteCommitment.selector));
        parts.multiply(0, 0);
    }

    function test_PointEvaluation() public {
        vm.assertTrue(parts.isConstant(7, 1234, 7), "the constant");
        vm.expectRevert(abi.encodeWithSelector(Precompiles.PrecompileFailed.selector, 10, 0));
        parts.isConstant(7, 1234, 8);
    }

    /// @dev A chain whose precompile is about other polynomials, or another field, proves nothing here.
    function test_PointEvaluationOfAnotherKind() public {
        uint256 r = 0x73eda753299d7d483339d80809a1d80553bda402fffe5bfeffffffff00000001;
        vm.mockCall(address(0x0a), "", abi.encode(4096, r));
        vm.assertTrue(parts.isConstant(7, 1234, 7), "as it is");
        vm.mockCall(address(0x0a), "", abi.encode(8192, r));
        vm.assertTrue(!parts.isConstant(7, 1234, 7), "more entries");
        vm.mockCall(address(0x0a), "", abi.encode(4096, r - 1));
        vm.assertTrue(!parts.isConstant(7, 1234, 7), "another field");
        vm.clearMockedCalls();
    }

    /// @dev Where a chain lacks a precompile there is an account without code: calls succeed and return nothing.
    function test_ChainsWithoutThePrecompiles() public {
        vm.expectRevert(abi.encodeWithSelector(Precompiles.PrecompileFailed.selector, 0xdead, 0));
        parts.callPrecompile(0xdead, 32);
        // And one that returns something else is not the one that was meant.
        vm.expectRevert(abi.encodeWithSelector(Precompiles.PrecompileFailed.selector, 2, 32));
        parts.callPrecompile(2, 64);
    }

    /// @dev Too little gas is not a false proof.
    function test_TooLittleGas() public {
        vm.expectPartialRevert(BoundedCall.InsufficientGas.selector);
        parts.multiply{gas: 30_000}(1, 0);
    }
}
