// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Policy} from "../src/libraries/Policy.sol";
import {PolicyWords} from "../src/libraries/PolicyWords.sol";
import {vm} from "./Vm.sol";

/// @title Policies by name are the words that the policy library reads
contract PolicyWordsTest {
    function testFuzz_WordsAreThoseOfThePolicyLibrary(uint8 k, uint32 windowSeconds) public view {
        k = k == 0 ? 1 : k;
        windowSeconds = windowSeconds == 0 ? 1 : windowSeconds;
        vm.assertEq(PolicyWords.quorum(k), word(k, 0, 0));
        vm.assertEq(PolicyWords.quorumWithWindow(k, windowSeconds), word(k, 0, windowSeconds));
        vm.assertEq(PolicyWords.disputableQuorum(k, windowSeconds), word(k, 8, windowSeconds));
        vm.assertEq(PolicyWords.proof(), word(0, 1, 0));
        vm.assertEq(PolicyWords.proofWithWindow(windowSeconds), word(0, 1, windowSeconds));
        vm.assertEq(PolicyWords.proofAndQuorum(k), word(k, 1, 0));
        vm.assertEq(PolicyWords.quorumAndEnclave(k), word(k, 2, 0));
        bytes32 built = this.build(k, Policy.FLAG_PROOF, windowSeconds);
        vm.assertEq(built, word(k, 1, windowSeconds));
    }

    function test_AMalformedWordIsNotBuilt() public {
        vm.expectPartialRevert(Policy.MalformedPolicy.selector);
        this.build(0, 0, 600);
        vm.expectPartialRevert(Policy.MalformedPolicy.selector);
        this.build(1, 128, 0);
    }

    function build(uint8 k, uint8 flags, uint32 windowSeconds) external pure returns (bytes32) {
        return PolicyWords.build(k, flags, windowSeconds);
    }

    function word(uint8 k, uint8 flags, uint32 windowSeconds) private pure returns (bytes32) {
        return bytes32(abi.encodePacked(uint8(1), k, flags, windowSeconds, bytes25(0)));
    }
}
