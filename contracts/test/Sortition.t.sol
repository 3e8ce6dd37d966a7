// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Sortition} from "../src/libraries/Sortition.sol";
import {bound, vm} from "./Vm.sol";

/// @title Every set of seats is as likely as any other, and nothing but seats is drawn
contract SortitionTest {
    function testFuzz_DistinctSeatsOfTheBitmapAreDrawn(uint256 bitmap, bytes32 seed, uint256 size) public pure {
        size = bound(size, 0, Sortition.countBits(bitmap));
        uint8[] memory seats = Sortition.draw(bitmap, seed, size);
        vm.assertEq(seats.length, size);
        for (uint256 i; i < size; ++i) {
            vm.assertTrue(bitmap >> seats[i] & 1 == 1, "not in the bitmap, or drawn before");
            bitmap &= ~(uint256(1) << seats[i]);
        }
    }

    function test_AllSeatsAreDrawnWhereAllAreWanted() public pure {
        uint8[] memory seats = Sortition.draw(type(uint256).max, keccak256("all"), 256);
        uint256 seen;
        for (uint256 i; i < 256; ++i) {
            seen |= uint256(1) << seats[i];
        }
        vm.assertEq(seen, type(uint256).max);
    }

    function test_MoreThanThereAreIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(Sortition.TooFewSeats.selector, 4, 3));
        this.draw(7, 0, 4);
        vm.expectRevert(abi.encodeWithSelector(Sortition.TooFewSeats.selector, 1, 0));
        this.draw(0, 0, 1);
    }

    /// @dev Pearson's test over the 20 sets of 3 out of 6 and over who comes first, 6,000 draws: 99.9 % of fair lots
    ///      stay below 43.8 (19 degrees of freedom) and 20.5 (5). The seeds are fixed, so this passes always or never.
    function test_SetsAndPlacesAreUniform() public pure {
        uint256 bitmap = 1 | 1 << 7 | 1 << 63 | 1 << 64 | 1 << 200 | 1 << 255;
        uint256[64] memory sets;
        uint256[6] memory firsts;
        for (uint256 i; i < 6000; ++i) {
            uint8[] memory seats = Sortition.draw(bitmap, keccak256(abi.encode("lot", i)), 3);
            ++sets[1 << rankOf(seats[0]) | 1 << rankOf(seats[1]) | 1 << rankOf(seats[2])];
            ++firsts[rankOf(seats[0])];
        }
        uint256 squares;
        uint256 kinds;
        for (uint256 i; i < 64; ++i) {
            if (sets[i] == 0) continue;
            ++kinds;
            squares += squareOf(sets[i], 300);
        }
        vm.assertEq(kinds, 20);
        vm.assertLe(squares * 10 / 300, 438, "sets");
        squares = 0;
        for (uint256 i; i < 6; ++i) {
            squares += squareOf(firsts[i], 1000);
        }
        vm.assertLe(squares * 10 / 1000, 205, "places");
    }

    function draw(uint256 bitmap, bytes32 seed, uint256 size) external pure returns (uint8[] memory) {
        return Sortition.draw(bitmap, seed, size);
    }

    function rankOf(uint8 seat) private pure returns (uint256) {
        if (seat == 0) return 0;
        if (seat == 7) return 1;
        if (seat == 63) return 2;
        if (seat == 64) return 3;
        return seat == 200 ? 4 : 5;
    }

    function squareOf(uint256 got, uint256 expected) private pure returns (uint256) {
        uint256 off = got > expected ? got - expected : expected - got;
        return off * off;
    }
}
