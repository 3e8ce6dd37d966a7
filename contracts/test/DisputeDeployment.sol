// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IDisputes} from "../src/interfaces/IDisputes.sol";
import {Request} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";

/// @title The deployment, with an answer that is disputed: signed by operators 0 and 1, six others to draw five from
abstract contract DisputeDeployment is Deployment {
    bytes internal constant INPUT = "x";
    bytes internal constant TRUTH = "the truth";
    bytes internal constant LIE = "a lie";
    bytes32 internal constant SALT = keccak256("salt");
    address internal constant CHALLENGER = address(0xC4A11);
    address internal constant STRANGER = address(0x5713);
    address internal constant BURNT = 0x000000000000000000000000000000000000dEaD;
    uint32 internal constant WINDOW = 7200;
    uint256 internal constant BOND_WEI = 0.1 ether;
    uint256 internal constant FEE_WEI = 1003;

    function deliverDisputable(address requester, bytes memory output, uint32 callbackGas)
        internal
        returns (Request memory asked)
    {
        asked = ask(requester, INPUT, disputablePolicy(2, WINDOW), FEE_WEI, callbackGas);
        coprocessor.deliver(asked, INPUT, output, evidenceOf(asked, output, 2));
    }

    function deliverDisputable(bytes memory output) internal returns (Request memory) {
        return deliverDisputable(address(0xA11CE), output, 0);
    }

    /// @dev Who signed, and will be paid.
    function answerers() internal pure returns (address[] memory paid) {
        paid = new address[](2);
        (paid[0], paid[1]) = (operatorAt(0), operatorAt(1));
    }

    function idOf(Request memory asked) internal view returns (bytes32) {
        return coprocessor.computeRequestId(asked);
    }

    function openAs(address who, Request memory asked) internal returns (bytes32 id) {
        vm.deal(who, BOND_WEI);
        vm.prank(who);
        disputes.open{value: BOND_WEI}(asked, answerers());
        return idOf(asked);
    }

    function draw(bytes32 id) internal returns (address[] memory members) {
        vm.roll(disputes.infoOf(id).seedBlock + 1);
        disputes.draw(id);
        return disputes.infoOf(id).members;
    }

    function commitAs(bytes32 id, address member, bytes memory output) internal {
        bytes32 commitment = disputes.computeCommitment(id, member, keccak256(output), SALT);
        vm.prank(member);
        disputes.commitVote(id, commitment);
    }

    function revealAs(bytes32 id, address member, bytes memory output) internal {
        vm.prank(member);
        disputes.revealVote(id, keccak256(output), SALT);
    }

    /// @dev The first `count` members vote `output`, the next ones `other`; those beyond are absent.
    function vote(bytes32 id, bytes memory output, uint256 count, bytes memory other, uint256 others) internal {
        address[] memory members = disputes.infoOf(id).members;
        for (uint256 i; i < count + others; ++i) {
            commitAs(id, members[i], i < count ? output : other);
        }
        if (vm.getBlockTimestamp() < disputes.infoOf(id).commitEndsAt) vm.warp(disputes.infoOf(id).commitEndsAt);
        for (uint256 i; i < count + others; ++i) {
            revealAs(id, members[i], i < count ? output : other);
        }
        if (vm.getBlockTimestamp() < disputes.infoOf(id).revealEndsAt) vm.warp(disputes.infoOf(id).revealEndsAt);
    }

    /// @dev Opened by CHALLENGER, drawn, and voted as by `vote`.
    function dispute(Request memory asked, bytes memory output, uint256 count, bytes memory other, uint256 others)
        internal
        returns (bytes32 id)
    {
        id = openAs(CHALLENGER, asked);
        draw(id);
        vote(id, output, count, other, others);
    }

    function requireOutcome(bytes32 id, IDisputes.Outcome outcome) internal view {
        vm.assertEq(uint256(disputes.rulingOf(id).outcome), uint256(outcome), "outcome");
    }

    function isAmong(address wanted, address[] memory list) internal pure returns (bool) {
        for (uint256 i; i < list.length; ++i) {
            if (list[i] == wanted) return true;
        }
        return false;
    }
}
